//! `dataset draw`: episodes of the drawn table as a dataset.

use anyhow::{Context, Result};
use cola_data::tabletop::{Look, Tabletop, TabletopConfig};
use cola_data::{Camera, LeRobotLayout, LeRobotWriter, PictureStore};

use crate::dataset::args::DrawArgs;
use crate::dataset::source::Patience;

/// Draws and writes them.
///
/// # Errors
/// A look that there is not, a size that cannot be written, a folder that is not empty.
pub fn run(args: &DrawArgs) -> Result<()> {
    let look: Look = serde_json::from_value(args.look.as_str().into())
        .with_context(|| format!("--look {}: expected plain, dark, wood, tilted or random", args.look))?;
    let base = if args.size < 48 { TabletopConfig::tiny() } else { TabletopConfig::small() };
    let table = Tabletop::new(TabletopConfig { size: args.size, look, ..base })?;
    let config = table.config();
    let layout = LeRobotLayout {
        robot_type: Some("tabletop".into()),
        action_names: config.actions.names().iter().map(|name| (*name).to_string()).collect(),
        state_names: table.state_names(),
        pictures: if args.png { PictureStore::Png } else { PictureStore::default() },
        ..LeRobotLayout::new(
            config.fps,
            vec![Camera { key: "observation.images.top".into(), size: Some((args.size, args.size)) }],
        )
    };
    let mut writer = LeRobotWriter::create(&args.out, &layout)?;
    let mut patience = Patience::new("draw", "episodes");
    let mut met = 0;
    for number in 0..args.episodes {
        let episode = table.episode(args.seed, number as u64)?;
        for frame in 0..episode.frames.count {
            let row = |values: &[f32], width: usize| values[frame * width..(frame + 1) * width].to_vec();
            writer.frame(
                &[episode.frames.frame(frame)],
                &row(&episode.actions, episode.action_dim),
                &row(&episode.states, episode.state_dim),
            )?;
        }
        writer.end_episode(&episode.task)?;
        met += usize::from(episode.success);
        patience.tick(number + 1, args.episodes);
    }
    patience.finish();
    let held_out = args.episodes - args.episodes / 10;
    let mut splits = vec![("train", 0..held_out)];
    if held_out < args.episodes {
        splits.push(("valid", held_out..args.episodes));
    }
    writer.finish(&splits)?;
    println!(
        "written    {}: {} episodes, {met} of them with their goal reached",
        args.out.display(),
        args.episodes
    );
    Ok(())
}
