//! Settings from the environment and the command line. A bad one stops the boot with one line that names
//! the variable, the value and what is allowed.

use std::error::Error as _;
use std::ffi::OsString;
use std::net::AddrParseError;
use std::num::{IntErrorKind, ParseIntError};
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error, Parser};

/// More would be a mistake, and too much for a clock.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Reads the settings, or ends the process: 0 after `--help` and `--version`, 2 after a bad setting.
pub fn parse<T: Parser>() -> T {
    if let Some(name) = unreadable(&T::command()) {
        refuse(&format!("{name}: the value must be UTF-8"));
    }
    T::try_parse().unwrap_or_else(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        _ => refuse(&one_line(&error, T::command())),
    })
}

/// The first variable of a setting whose value is no text.
fn unreadable(command: &Command) -> Option<String> {
    let mut names = command.get_arguments().filter_map(Arg::get_env);
    let name = names.find(|name| std::env::var_os(name).is_some_and(|value| value.to_str().is_none()))?;
    Some(name.to_string_lossy().into_owned())
}

/// The variables of the environment. What is no text in them is shown as it can be.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
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
        _ => error.source().map_or_else(|| "a value is expected".to_owned(), expected),
    };
    let value: String = value.chars().flat_map(shown).collect();
    format!("{}={value}: {reason}", arg.map_or_else(|| "setting".to_owned(), name))
}

/// What is expected, where the standard library says only what is wrong.
fn expected(source: &(dyn std::error::Error + 'static)) -> String {
    if source.is::<AddrParseError>() {
        return "an IP address is expected, for example 0.0.0.0 or ::1".to_owned();
    }
    match source.downcast_ref::<ParseIntError>().map(ParseIntError::kind) {
        None => source.to_string(),
        Some(IntErrorKind::Zero) => "a whole number above 0 is expected".to_owned(),
        Some(IntErrorKind::PosOverflow) => "the number is too large".to_owned(),
        Some(_) => "a whole number is expected".to_owned(),
    }
}

/// One line stays one line.
fn shown(character: char) -> Vec<char> {
    if character.is_control() { character.escape_default().collect() } else { vec![character] }
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
    let parsed = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => humantime::parse_duration(text)
            .map_err(|_| "a duration is expected, for example 10s or 500ms".to_owned())?,
    };
    if parsed <= MAX_DURATION { Ok(parsed) } else { Err("at most 365days is allowed".to_owned()) }
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
        #[arg(long, env = "TEST_SETTINGS_ADDRESS", default_value = "::1")]
        address: std::net::IpAddr,
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
        assert_eq!(refusal(&["--port", "a\nb"]), "TEST_SETTINGS_PORT=a\\nb: a whole number is expected");
        assert!(refusal(&["--address", "localhost"]).contains("an IP address is expected"));
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
        assert!(duration("1000000000y").is_err() && duration("366days").is_err());
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("-1").is_err() && duration("").is_err());
        assert!(positive_duration("0").is_err());
    }
}
