//! What a load may do besides the obvious.

/// How names of a file become names of a model, and what may be absent. The usual: equal names, nothing absent.
///
/// ```
/// use cola_weights::{LoadOptions, diffusers_names};
///
/// let options = LoadOptions::new()
///     .prefix("vae.", "spatial.")          // the file's `vae.x` is the model's `spatial.x`
///     .rename(diffusers_names)              // old attention names, see there
///     .squeeze()                            // and their 1x1 convolutions
///     .create(|name| name.contains(".action_")); // parameters that the published model lacks
/// assert_eq!(options.name("vae.mid.attn.query.weight").as_deref(), Some("spatial.mid.attn.to_q.weight"));
/// assert_eq!(options.name("text.weight"), None);
/// ```
pub struct LoadOptions<'a> {
    file_prefix: String,
    model_prefix: String,
    rename: Box<Rename<'a>>,
    create: Box<dyn Fn(&str) -> bool + 'a>,
    pub(crate) squeeze: bool,
}

type Rename<'a> = dyn Fn(&str) -> Option<String> + 'a;

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self {
            file_prefix: String::new(),
            model_prefix: String::new(),
            rename: Box::new(|name| Some(name.to_string())),
            create: Box::new(|_| false),
            squeeze: false,
        }
    }
}

impl<'a> LoadOptions<'a> {
    /// Equal names, equal shapes, nothing absent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tensors whose name starts with `file` get names that start with `model` instead; others are left in the file.
    /// Either may be empty.
    pub fn prefix(mut self, file: &str, model: &str) -> Self {
        (self.file_prefix, self.model_prefix) = (file.to_string(), model.to_string());
        self
    }

    /// How a name, without the file's prefix, is called in the model, again without prefix; `None` leaves the tensor in
    /// the file.
    pub fn rename(mut self, rename: impl Fn(&str) -> Option<String> + 'a) -> Self {
        self.rename = Box::new(rename);
        self
    }

    /// Which of the model's parameters the file may lack: building the model creates those.
    pub fn create(mut self, allowed: impl Fn(&str) -> bool + 'a) -> Self {
        self.create = Box::new(allowed);
        self
    }

    /// Takes shapes that differ by sides of 1 at the end for equal: a 1x1 convolution `(C, D, 1, 1)` is a matrix `(C, D)`.
    pub fn squeeze(mut self) -> Self {
        self.squeeze = true;
        self
    }

    /// What a tensor of the file is called in the model.
    pub fn name(&self, in_file: &str) -> Option<String> {
        let name = (self.rename)(in_file.strip_prefix(&self.file_prefix)?)?;
        Some(self.model_prefix.clone() + &name)
    }

    pub(crate) fn may_create(&self, name: &str) -> bool {
        (self.create)(name)
    }
}

/// For [`LoadOptions::rename`]: attention layers of old diffusers checkpoints (`query`, `key`, `value`, `proj_attn`) under
/// their present names (`to_q`, `to_k`, `to_v`, `to_out.0`); every other name stays. Their weights may be 1x1
/// convolutions, see [`LoadOptions::squeeze`].
///
/// ```
/// let name = cola_weights::diffusers_names("mid_block.attentions.0.proj_attn.bias");
/// assert_eq!(name.as_deref(), Some("mid_block.attentions.0.to_out.0.bias"));
/// ```
pub fn diffusers_names(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = name.split('.').collect();
    if let [.., layer, "weight" | "bias"] = &mut parts[..] {
        *layer = match *layer {
            "query" => "to_q",
            "key" => "to_k",
            "value" => "to_v",
            "proj_attn" => "to_out.0",
            other => other,
        };
    }
    Some(parts.join("."))
}
