//! `cargo xtask`: the chores of this repository.

use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use xtask::{ChoreError, bench, generate, market, repository_root, scaffold, tidy};

/// Chores of the Karat repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Checks what rustfmt and clippy cannot: layers, dependencies, file sizes, names, registrations.
    Tidy,
    /// Writes everything that is generated: schemas, plugin manifests and the reference.
    Generate,
    /// Writes the folder of a new plugin.
    NewPlugin {
        /// The name that `type` says in YAML, such as `postgres`.
        name: String,
    },
    /// Writes the file of a new lint rule.
    NewRule {
        /// The code, such as `D017`.
        code: String,
        /// The rule's name in snake_case; it reads well after "allow".
        name: String,
    },
    /// Writes the database of the `market` pipeline; the same rows for the same arguments.
    Market {
        /// Trades of both exchanges together.
        #[arg(long, default_value_t = 200_000)]
        rows: u32,
        /// The SQLite file; it must not exist.
        #[arg(long)]
        out: PathBuf,
    },
    /// Measures Karat beside its peers and writes `docs/benchmarks/`.
    Bench(bench::BenchOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.chore) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the chore found nothing wrong.
fn run(chore: Chore) -> Result<bool, ChoreError> {
    let root = repository_root()?;
    match chore {
        Chore::Tidy => {
            let findings = tidy::check_repository(&root)?;
            say(&findings.to_string());
            Ok(findings.is_clean())
        }
        Chore::Generate => {
            let written = generate::write_all(&root)?;
            say(&format!("{written} generated files written"));
            Ok(true)
        }
        Chore::NewPlugin { name } => {
            say(&scaffold::new_plugin(&root, &name)?);
            Ok(true)
        }
        Chore::NewRule { code, name } => {
            say(&scaffold::new_rule(&root, &code, &name)?);
            Ok(true)
        }
        Chore::Market { rows, out } => {
            let totals = market::write_database(&out, rows)?;
            say(&format!("`{}`: {} trades of binance, {} messages of kraken", out.display(), totals.binance, totals.kraken));
            Ok(true)
        }
        Chore::Bench(options) => {
            bench::run(&root, &options, &mut |line| say(line))?;
            Ok(true)
        }
    }
}

fn say(text: &str) {
    // A closed pipe is no reason to fail a chore that has done its work.
    let _ = writeln!(std::io::stdout(), "{text}");
}
