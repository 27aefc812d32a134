//! Cron expressions and time zones.

use crate::codes;
use croner::parser::{CronParser, Seconds, Year};
use karat_diagnostics::{Diagnostic, Span, did_you_mean};

/// The finding about a cron expression that cannot be read.
pub(crate) fn cron_finding(cron: &str, span: Span) -> Option<Diagnostic> {
    let fields = cron.split_whitespace().count();
    let finding = |message: String| Diagnostic::error(codes::SCHEDULE, message, span).with_note("five fields: minute, hour, day of month, month, day of week");
    if cron.trim_start().starts_with('@') {
        return Some(finding(format!("`{cron}` is a nickname, not a cron expression")).with_help("write five fields, such as `0 * * * *` for every hour"));
    }
    if fields != 5 {
        return Some(finding(format!("the cron expression has {fields} fields")).with_help("write five, such as `*/15 * * * *` for every 15 minutes"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let error = parser.parse(cron).err()?;
    let text = error.to_string();
    let reason = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason).trim_end_matches('.').to_owned();
    Some(finding(format!("the cron expression `{cron}` cannot be read")).with_note(reason).with_help("write five fields, such as `*/15 * * * *`"))
}

/// The finding about a time zone that does not exist.
pub(crate) fn timezone_finding(name: &str, span: Span) -> Option<Diagnostic> {
    if name.parse::<chrono_tz::Tz>().is_ok() {
        return None;
    }
    let help = did_you_mean(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())).unwrap_or_else(|| "write an IANA name such as `UTC` or `Europe/Berlin`".to_owned());
    Some(Diagnostic::error(codes::SCHEDULE, format!("`{name}` is not a time zone"), span).with_note("time zones are those of the IANA database").with_help(help))
}
