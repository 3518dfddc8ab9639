//! Where the hub is, and who asks.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where the hub is, where its files are kept, and who asks. The variables are those of the hub's own tools, and so is
/// the layout of the cache: what they have fetched is found, and the other way round.
///
/// ```
/// use cola_weights::HubSettings;
///
/// let settings = HubSettings::from_variables(|name| match name {
///     "HF_HOME" => Some("/data/hf".into()),
///     "HF_HUB_OFFLINE" => Some("1".into()),
///     _ => None,
/// });
/// assert_eq!(settings.cache, std::path::Path::new("/data/hf/hub"));
/// assert!(settings.offline && settings.token.is_none());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// Sent to the endpoint's host and to no other.
    pub token: Option<String>,
    /// Whether only the cache may be asked.
    pub offline: bool,
    /// How often in a row a request may fail for a passing reason before it is given up.
    pub attempts: u32,
    /// How long to wait for a connection, an answer, or the next bytes of one.
    pub timeout: Duration,
}

impl HubSettings {
    /// Settings from the environment: `HF_ENDPOINT`; `HF_HUB_CACHE`, else `HF_HOME` and its folder `hub`, else
    /// `huggingface/hub` in the user's cache folder; `HF_TOKEN`, else the file `token` in `HF_HOME`; `HF_HUB_OFFLINE`.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// As [`HubSettings::from_env`], with variables from elsewhere; empty ones count as absent.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let home = variable("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".cache"));
            cache.join("huggingface")
        });
        // A token's file that is absent or cannot be read means: nobody has logged in.
        let token = variable("HF_TOKEN").or_else(|| std::fs::read_to_string(home.join("token")).ok());
        let token = token.map(|token| token.trim().to_string()).filter(|token| !token.is_empty());
        let offline = variable("HF_HUB_OFFLINE").unwrap_or_default().to_ascii_uppercase();
        Self {
            endpoint: variable("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".into())
                .trim_end_matches('/')
                .to_string(),
            cache: variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token,
            offline: ["1", "ON", "YES", "TRUE"].contains(&offline.as_str()),
            attempts: 5,
            timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A token in a log is a token lost.
        f.debug_struct("HubSettings")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("offline", &self.offline)
            .field("attempts", &self.attempts)
            .field("timeout", &self.timeout)
            .finish()
    }
}
