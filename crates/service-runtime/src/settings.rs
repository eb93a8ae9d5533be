//! Settings from the environment and the command line. A bad one stops the boot with one line that names
//! the variable, the value and what is allowed.

use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error, Parser};

/// Reads the settings, or ends the process: 0 after `--help` and `--version`, 2 after a bad setting.
pub fn parse<T: Parser>() -> T {
    T::try_parse().unwrap_or_else(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        _ => refuse(&one_line(&error, T::command())),
    })
}

/// Ends the process because of a bad setting.
pub fn refuse(line: &str) -> ! {
    complain(line);
    std::process::exit(2)
}

/// Says one line on standard error. Also when no log is set up yet.
#[expect(clippy::print_stderr, reason = "the one place where a service speaks without its log")]
pub(crate) fn complain(line: &str) {
    eprintln!("error: {line}");
}

fn one_line(error: &Error, mut command: Command) -> String {
    // Until it is built, a command does not know its arguments' full names.
    command.build();
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (Some(arg), Some(value)) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) else {
        // What is left is a mistake on the command line itself; clap's first line says which.
        let told = error.to_string();
        let first = told.lines().next().unwrap_or_default();
        return format!("{} (see --help)", first.trim_start_matches("error: "));
    };
    let arg = command.get_arguments().find(|candidate| candidate.to_string() == arg);
    // A URL may carry a password as well.
    let secret = arg.is_some_and(Arg::is_hide_env_values_set) || value.contains('@');
    let value = if secret { "(not shown)" } else { value };
    let reason = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(allowed)) if !allowed.is_empty() => {
            format!("one of {}", allowed.join(", "))
        }
        _ => std::error::Error::source(error)
            .map_or_else(|| "not a usable value".to_owned(), ToString::to_string),
    };
    format!("{}={value}: {reason}", arg.map_or_else(|| "setting".to_owned(), name))
}

/// The variable of a setting, or its flag if it has none.
fn name(arg: &Arg) -> String {
    match arg.get_env() {
        Some(variable) => variable.to_string_lossy().into_owned(),
        None => arg.get_long().map_or_else(|| arg.get_id().to_string(), |long| format!("--{long}")),
    }
}

/// A duration as people write it: `10s`, `500ms`, `2m`; a bare number is seconds.
///
/// # Errors
/// What is expected instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    humantime::parse_duration(text).map_err(|_| "a duration is expected, for example 10s or 500ms".to_owned())
}

/// A [`duration`] of at least a millisecond.
///
/// # Errors
/// What is expected instead.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        long_enough if long_enough >= Duration::from_millis(1) => Ok(long_enough),
        _ => Err("a duration of at least 1ms is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(Debug, Parser)]
    struct Settings {
        #[arg(long, env = "TEST_SETTINGS_PORT", default_value_t = 8000)]
        port: u16,
        #[arg(long, env = "TEST_SETTINGS_MODE", value_parser = ["warn", "strict"], default_value = "warn")]
        mode: String,
        #[arg(long, env = "TEST_SETTINGS_WAIT", value_parser = duration, default_value = "10s")]
        wait: Duration,
        #[arg(long, env = "TEST_SETTINGS_AUTH", hide_env_values = true, value_parser = clap::value_parser!(u8))]
        auth: Option<u8>,
    }

    fn refusal(args: &[&str]) -> String {
        let args = std::iter::once("program").chain(args.iter().copied());
        one_line(&Settings::try_parse_from(args).unwrap_err(), Settings::command())
    }

    #[test]
    fn a_bad_value_is_one_line_with_the_variable_the_value_and_what_is_allowed() {
        assert_eq!(refusal(&["--port", "70000"]), "TEST_SETTINGS_PORT=70000: 70000 is not in 0..=65535");
        assert_eq!(refusal(&["--mode", "lax"]), "TEST_SETTINGS_MODE=lax: one of warn, strict");
        assert_eq!(
            refusal(&["--wait", "soon"]),
            "TEST_SETTINGS_WAIT=soon: a duration is expected, for example 10s or 500ms"
        );
        assert_eq!(refusal(&["--prot", "1"]), "unexpected argument '--prot' found (see --help)");
    }

    #[test]
    fn a_secret_is_never_shown() {
        for (flag, variable, value) in [
            ("--auth", "TEST_SETTINGS_AUTH", "hunter2"),
            ("--wait", "TEST_SETTINGS_WAIT", "http://u:hunter2@r"),
        ] {
            let line = refusal(&[flag, value]);
            assert!(line.starts_with(&format!("{variable}=(not shown): ")), "{line}");
            assert!(!line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("-1").is_err() && duration("").is_err());
        assert!(positive_duration("0").is_err());
    }
}
