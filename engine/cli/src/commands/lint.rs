//! `karat lint`: everything that can be found without a database.

use crate::arguments::Scope;
use crate::context::Context;
use crate::error::CliError;
use crate::examined::{self, Examined, Sight};
use crate::exit::Exit;
use clap::{Args, ValueEnum};
use karat_diagnostics::render::{self, LintRecord};
use karat_diagnostics::{Diagnostic, Severity, Summary};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// How to print findings.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Exit with 1 also when there are only warnings.
    #[arg(long, value_name = "LEVEL", value_enum)]
    deny: Option<Denied>,
    #[arg(long, hide = true)]
    fix: bool,
}

/// How to print findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With excerpts, for people.
    Text,
    /// One object with all findings.
    Json,
    #[value(hide = true)]
    Sarif,
    #[value(hide = true)]
    Github,
    #[value(hide = true)]
    Gitlab,
    #[value(hide = true)]
    Junit,
    #[value(hide = true)]
    Markdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Denied {
    /// Warnings count as errors.
    Warnings,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    if arguments.fix {
        return Err(CliError::absent("`karat lint --fix`"));
    }
    let mut record = LintRecord { findings: Vec::new(), summary: Summary::default() };
    for project in examined::all(&arguments.scope, Sight::Offline, context)? {
        // A project that the selectors do not match has nothing to say; that none matches was refused before.
        let tables = project.selected(&arguments.scope).unwrap_or_default();
        let findings = project.findings_about(&tables, &arguments.scope);
        match arguments.format {
            Format::Text => add(&mut record.summary, print_text(&project, &findings, context)?),
            Format::Json => {
                let more = render::record(&findings, &project.sources.map, &project.spec.secrets.0);
                add(&mut record.summary, more.summary);
                record.findings.extend(more.findings);
            }
            Format::Sarif | Format::Github | Format::Gitlab | Format::Junit | Format::Markdown => return Err(CliError::absent("this format of `karat lint`")),
        }
    }
    if arguments.format == Format::Json {
        context.printer.json(&record)?;
    }
    let is_denied = arguments.deny.is_some() && record.summary.warnings > 0;
    Ok(if record.summary.errors > 0 || is_denied { Exit::Findings } else { Exit::Done })
}

fn print_text(project: &Examined, findings: &[Diagnostic], context: &Context) -> Result<Summary, CliError> {
    let shown: Vec<Diagnostic> = findings.iter().filter(|finding| !context.printer.is_quiet() || finding.severity > Severity::Note).cloned().collect();
    context.printer.data(&render::text(&shown, &project.sources.map, &project.spec.secrets.0, context.printer.color()))?;
    Ok(Summary::of(findings))
}

fn add(total: &mut Summary, more: Summary) {
    total.errors += more.errors;
    total.warnings += more.warnings;
    total.notes += more.notes;
}
