//! What is said of a command line that makes no sense. A word of it that may be a secret is not repeated.
//!
//! Does not know: what the flags mean.

use super::quoted::is_name;
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue};

/// What stands in the place of an argument that is not repeated.
const HIDDEN: &str = "(not shown)";

/// The message of a usage error, and what to do instead.
pub(super) fn message<Cli: CommandFactory>(mut error: clap::Error) -> String {
    let mut command = Cli::command();
    command.build();
    let known: Vec<String> = command.get_arguments().map(ToString::to_string).collect();
    let found: Vec<(ContextKind, ContextValue)> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    let mut is_about_secret = false;
    let mut safe = |text: String| {
        if known.contains(&text) || text.is_empty() {
            return text;
        }
        // `--admin-key=…` is about its name.
        let name = text.split(['=', ' ']).next().unwrap_or_default();
        match name.strip_prefix("--").filter(|name| is_name(name)) {
            Some(bare) => {
                is_about_secret |= ["key", "secret", "token", "pass"].iter().any(|word| bare.contains(word));
                name.to_owned()
            }
            None => HIDDEN.into(),
        }
    };
    for (kind, value) in found {
        use ContextKind as Of;
        if !matches!(kind, Of::InvalidArg | Of::InvalidSubcommand | Of::InvalidValue | Of::PriorArg | Of::TrailingArg) {
            continue;
        }
        let value = match value {
            ContextValue::String(text) => ContextValue::String(safe(text)),
            ContextValue::Strings(texts) => ContextValue::Strings(texts.into_iter().map(&mut safe).collect()),
            other => other,
        };
        error.insert(kind, value);
    }
    // "To pass … as a value, use …": repeats the argument, and no value is taken that way.
    error.remove(ContextKind::Suggested);
    let mut text = error.render().to_string();
    if is_about_secret {
        text.push_str(
            "\nThe admin address's key is `admin_key` in a file that only Volley can read, or VOLLEY_ADMIN_KEY: others on the \
             machine see command lines.\n",
        );
    }
    text
}
