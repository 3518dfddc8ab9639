//! `lam codes`: what each code means.

use std::path::Path;

use anyhow::Result;
use cola_data::ClipSource;
use cola_lam::UsageReport;
use cola_report::Table;

use crate::lam::args::CodesArgs;
use crate::lam::model::{Model, result_folder};
use crate::lam::sheet::{CodeRow, action_rows, draw, position_rows};
use crate::lam::survey::Survey;
use crate::output::write;

/// Looks at the clips, writes the sheets and prints the most frequent codes.
///
/// # Errors
/// A model, dataset or folder that will not do.
pub fn run(args: &CodesArgs) -> Result<()> {
    let model = Model::open(&args.model)?;
    let clips = model.clips(&args.data, &args.split)?;
    let survey = Survey::of(&model, &*clips, args.clips)?;
    let folder = result_folder(args.out.as_deref(), "codes")?;
    println!("{}", usage_table(&UsageReport::of(&survey.usage))?);
    write_sheets(&model, &survey, &*clips, args.examples, &folder)?;
    println!("{} transitions; sheets and codes.csv in {}", survey.usage.samples(), folder.display());
    Ok(())
}

/// `codes-position-0.png` and so on, `codes-actions.png`, `codes.csv`.
///
/// # Errors
/// The source's, the disk's.
pub fn write_sheets(
    model: &Model,
    survey: &Survey,
    source: &dyn ClipSource,
    examples: usize,
    folder: &Path,
) -> Result<()> {
    let config = &model.config.lam;
    let actions = survey
        .changes
        .iter()
        .flat_map(|codes| codes.values())
        .map(|change| change.mean_action().len())
        .max()
        .unwrap_or(0);
    let fixed = ["codebook", "position", "code", "share", "count"].map(String::from);
    let mut table =
        Table::new(fixed.into_iter().chain((0..actions).map(|number| format!("mean_action_{number}"))));
    let mut add = |place: &str, rows: &[CodeRow]| -> Result<()> {
        for row in rows {
            let name = row.name.trim_start_matches("code ");
            let share = format!("{:.6}", row.share);
            let mut cells =
                vec![model.version.clone(), place.into(), name.into(), share, row.count.to_string()];
            cells.extend((0..actions).map(|number| {
                row.action.get(number).map_or_else(String::new, |value| format!("{value:.4}"))
            }));
            table.row(cells)?;
        }
        Ok(())
    };
    let words =
        |place: &str| format!("codebook {}, {place}, {} transitions", model.version, survey.usage.samples());
    for position in 0..config.tokens {
        let rows = position_rows(survey, position, examples);
        add(&position.to_string(), &rows)?;
        let unused = (0..config.codes as u32).filter(|code| !survey.changes[position].contains_key(code));
        add(&position.to_string(), &unused.map(CodeRow::unused).collect::<Vec<_>>())?;
        let title = words(&format!("position {position}: {} of {} codes in use", rows.len(), config.codes));
        let file = folder.join(format!("codes-position-{position}.png"));
        draw(&title, &rows, config.image, source)?.save_png(file)?;
    }
    let rows = action_rows(survey, examples);
    add("whole action", &rows)?;
    let file = folder.join("codes-actions.png");
    draw(&words("whole actions"), &rows, config.image, source)?.save_png(file)?;
    write(&folder.join("codes.csv"), table.to_csv().as_bytes())
}

/// The three readings as a table.
///
/// # Errors
/// None in practice: every row has the header's length.
pub fn usage_table(report: &UsageReport) -> Result<Table> {
    let mut table =
        Table::new(["codes", "in use", "most frequent", "entropy, nats", "bits", "normalised", "perplexity"]);
    let positions =
        report.positions.iter().enumerate().map(|(at, figures)| (format!("position {at}"), figures));
    let rows = std::iter::once(("pooled".to_string(), &report.pooled))
        .chain(positions)
        .chain([("whole action".to_string(), &report.joint)]);
    for (name, figures) in rows {
        table.row([
            name,
            format!("{:.1} %", 100.0 * figures.utilization),
            format!("{:.1} %", 100.0 * figures.max_usage),
            format!("{:.3}", figures.entropy),
            format!("{:.3}", figures.bits),
            format!("{:.3}", figures.normalised),
            format!("{:.1}", figures.perplexity),
        ])?;
    }
    Ok(table)
}
