//! What a page says about the outcomes of a workload: who is first and by how much, the figures, and what was wrong.

use super::round::Outcome;
use super::workloads::Standing;
use crate::bench::measure::{Sample, median};
use crate::bench::page::rows_per_second;
use std::fmt::Write;

/// The figures of one tool whose results are right.
struct Figures<'a> {
    outcome: &'a Outcome,
    wall: f64,
    cpu: f64,
    peak_bytes: u64,
}

impl<'a> Figures<'a> {
    fn of(outcome: &'a Outcome) -> Option<Self> {
        (outcome.trouble.is_none() && !outcome.samples.is_empty()).then(|| Self {
            outcome,
            wall: outcome.median(|sample| sample.wall_seconds),
            cpu: outcome.median(|sample| sample.cpu_seconds),
            peak_bytes: outcome.samples.iter().map(|sample| sample.peak_bytes).max().unwrap_or_default(),
        })
    }
}

impl Outcome {
    pub(super) fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure))
    }

    /// Seconds of the slowest observed transaction in any run.
    fn longest_transaction(&self) -> Option<f64> {
        self.samples.iter().filter_map(|sample| sample.longest_transaction_seconds).reduce(f64::max)
    }
}

/// How Karat compares with the fastest peer, with the thriftiest, and with the database's own programs.
pub(super) fn verdict(outcomes: &[Outcome]) -> String {
    let figures: Vec<Figures<'_>> = outcomes.iter().filter_map(Figures::of).collect();
    let Some(karat) = figures.iter().find(|one| one.outcome.standing == Standing::Karat) else { return "Karat was not measured.".to_owned() };
    let least = |standing: Standing, of: fn(&Figures<'_>) -> f64| figures.iter().filter(|one| one.outcome.standing == standing).min_by(|one, two| of(one).total_cmp(&of(two)));
    let mut text = format!("Karat takes {} s", seconds(karat.wall));
    match least(Standing::Peer, |one| one.wall) {
        None if outcomes.iter().any(|outcome| outcome.standing == Standing::Peer) => text.push_str("; no peer has a right result."),
        None => text.push('.'),
        Some(peer) => {
            let _ = write!(text, "; the fastest peer, {}, takes {} s: Karat is {}.", peer.outcome.title, seconds(peer.wall), times(peer.wall / karat.wall, ["as fast", "slower"]));
        }
    }
    if let Some(peer) = least(Standing::Peer, |one| one.cpu) {
        let _ = write!(text, "\nIt needs {} s of CPU; the least among the peers is {} s ({}).", seconds(karat.cpu), seconds(peer.cpu), peer.outcome.title);
    }
    if let Some(own) = least(Standing::Own, |one| one.wall) {
        let _ = write!(text, "\nThe database's own programs take {} s at best ({}): Karat takes {:.2} times as long.", seconds(own.wall), own.outcome.title, karat.wall / own.wall);
    }
    let _ = write!(text, "\nIts peak memory is {} MiB.", karat.peak_bytes >> 20);
    if let Some(longest) = karat.outcome.longest_transaction() {
        let _ = write!(text, "\nIts longest transaction that wrote anything took {longest:.2} s.");
    }
    text
}

fn times(ratio: f64, [faster, slower]: [&str; 2]) -> String {
    if ratio >= 1.0 { format!("{ratio:.2} times {faster}") } else { format!("{:.2} times {slower}", 1.0 / ratio) }
}

/// The fastest first; those whose result is not right at the end.
pub(super) fn table(outcomes: &[Outcome], rows: Option<f64>) -> String {
    let shows_transactions = outcomes.iter().any(|outcome| outcome.longest_transaction().is_some());
    let mut text = "| tool | wall s | from..to | runs | CPU s | CPU s of the servers |".to_owned();
    let mut rule = "|---|---:|---|---:|---:|---:|".to_owned();
    let optional = [(rows.is_some(), " rows/s |"), (true, " peak memory MiB |"), (shows_transactions, " longest transaction s |")];
    for (_, title) in optional.into_iter().filter(|(shown, _)| *shown) {
        text.push_str(title);
        rule.push_str("---:|");
    }
    let _ = write!(text, " result |\n{rule}---|\n");
    let mut right: Vec<Figures<'_>> = outcomes.iter().filter_map(Figures::of).collect();
    right.sort_by(|one, two| one.wall.total_cmp(&two.wall));
    for one in &right {
        let outcome = one.outcome;
        let walls = outcome.samples.iter().map(|sample| sample.wall_seconds);
        let range = format!("{}..{}", seconds(walls.clone().fold(f64::INFINITY, f64::min)), seconds(walls.fold(0.0, f64::max)));
        let server = seconds(outcome.median(|sample| sample.server_cpu_seconds));
        let _ = write!(text, "| {} | {} | {range} | {} | {} | {server} |", title(outcome), seconds(one.wall), outcome.samples.len(), seconds(one.cpu));
        if let Some(rows) = rows {
            let _ = write!(text, " {} |", rows_per_second(rows, one.wall));
        }
        let _ = write!(text, " {} |", one.peak_bytes >> 20);
        if shows_transactions {
            let _ = write!(text, " {} |", outcome.longest_transaction().map_or_else(String::new, |longest| format!("{longest:.2}")));
        }
        let _ = writeln!(text, " {} |", if outcome.types.is_empty() { "exact" } else { "other types" });
    }
    let empty = " |".repeat(optional.into_iter().filter(|(shown, _)| *shown).count() + 5);
    for outcome in outcomes.iter().filter(|outcome| Figures::of(outcome).is_none()) {
        let _ = writeln!(text, "| {} |{empty} **does not count** |", title(outcome));
    }
    text.push('\n');
    text
}

fn title(outcome: &Outcome) -> String {
    match outcome.standing {
        Standing::Karat => format!("**{}**", outcome.title),
        Standing::Peer => outcome.title.clone(),
        Standing::Own => format!("*{}*", outcome.title),
    }
}

/// What the table cannot say: types that changed, why a tool does not count, and how quiet the machine was.
pub(super) fn remarks(outcomes: &[Outcome]) -> String {
    let mut lines = Vec::new();
    if outcomes.iter().any(|outcome| outcome.standing == Standing::Own) {
        lines.push("Programs of the database itself are set in italics: they know no other system.".to_owned());
    }
    for outcome in outcomes {
        if let Some(trouble) = &outcome.trouble {
            lines.push(format!("{} does not count: {}", outcome.title, one_line(trouble)));
        } else if !outcome.types.is_empty() {
            lines.push(format!("{} has other types than the source: {}.", outcome.title, shortened(&outcome.types)));
        }
    }
    let others = outcomes.iter().flat_map(|outcome| &outcome.samples).map(|sample| sample.other_cpu_seconds / sample.wall_seconds.max(0.1));
    lines.push(format!("While a tool ran, everything else on the machine took at most {:.2} of a processor.", others.fold(0.0, f64::max)));
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "- {line}");
        text
    })
}

/// What a tool says when it fails may be long, and hold what a page reads as markup.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_control() || "|<>`".contains(letter) { ' ' } else { letter }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let line = words.join(" ");
    let cut: String = line.chars().take(300).collect();
    if cut.len() < line.len() { format!("{cut} ...") } else { cut }
}

fn shortened(types: &[String]) -> String {
    let shown = types.iter().take(6).map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ");
    if types.len() > 6 { format!("{shown} and {} more", types.len() - 6) } else { shown }
}

/// Three significant places where they tell something.
pub(super) fn seconds(value: f64) -> String {
    if value < 1.0 { format!("{value:.3}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(wall_seconds: f64) -> Sample {
        Sample {
            exit: 0,
            over_limit: false,
            wall_seconds,
            cpu_seconds: wall_seconds * 2.0,
            server_cpu_seconds: 1.0,
            other_cpu_seconds: 0.0,
            peak_bytes: 100 << 20,
            longest_transaction_seconds: None,
        }
    }

    fn outcome(title: &str, standing: Standing, walls: &[f64]) -> Outcome {
        Outcome { title: title.to_owned(), standing, samples: walls.iter().copied().map(sample).collect(), trouble: None, types: Vec::new() }
    }

    #[test]
    fn the_verdict_compares_with_the_fastest_peer_and_with_the_databases_own_programs() {
        let outcomes = [
            outcome("karat", Standing::Karat, &[2.0, 2.0, 9.0]),
            outcome("slow", Standing::Peer, &[8.0]),
            outcome("quick", Standing::Peer, &[3.0]),
            outcome("client", Standing::Own, &[1.0]),
        ];

        assert_eq!(
            verdict(&outcomes),
            "Karat takes 2.00 s; the fastest peer, quick, takes 3.00 s: Karat is 1.50 times as fast.\n\
             It needs 4.00 s of CPU; the least among the peers is 6.00 s (quick).\n\
             The database's own programs take 1.00 s at best (client): Karat takes 2.00 times as long.\n\
             Its peak memory is 100 MiB."
        );
    }

    #[test]
    fn a_peer_that_is_faster_is_said_to_be() {
        let outcomes = [outcome("karat", Standing::Karat, &[2.0]), outcome("quick", Standing::Peer, &[1.0])];

        assert!(verdict(&outcomes).starts_with("Karat takes 2.00 s; the fastest peer, quick, takes 1.00 s: Karat is 2.00 times slower."));
    }

    #[test]
    fn a_wrong_result_is_no_rival_but_is_shown() {
        let mut wrong = outcome("wrong", Standing::Peer, &[0.1]);
        wrong.trouble = Some("wrong result: 5 rows instead of 6".to_owned());
        let mut typed = outcome("typed", Standing::Peer, &[3.0]);
        typed.types = vec!["price decimal(38,10)".to_owned()];
        let outcomes = [outcome("karat", Standing::Karat, &[2.0]), wrong, typed];

        assert!(verdict(&outcomes).contains("the fastest peer, typed,"));
        assert!(table(&outcomes, Some(6.0)).ends_with("| wrong | | | | | | | | **does not count** |\n\n"), "{}", table(&outcomes, Some(6.0)));
        assert!(remarks(&outcomes).contains("- wrong does not count: wrong result: 5 rows instead of 6\n"));
        assert!(remarks(&outcomes).contains("- typed has other types than the source: `price decimal(38,10)`.\n"));
    }
}
