//! What a run says while it runs: bars on a terminal, plain lines elsewhere.

use crate::printer::Printer;
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use karat_exec::{Event, Observer, TableReport, TableStatus};
use karat_plan::RunPlan;
use karat_plan::render::count;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a bar is drawn at most.
const FRAMES_PER_SECOND: u8 = 8;

/// Who listens to a run.
pub(crate) fn observer(printer: &Printer, plan: &RunPlan) -> Arc<dyn Observer> {
    if printer.has_live_terminal() {
        let width = plan.tables.keys().map(String::len).max().unwrap_or(0);
        let expected = plan.tables.iter().filter_map(|(name, table)| Some((name.clone(), table.estimated_rows?))).collect();
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(FRAMES_PER_SECOND));
        Arc::new(Bars { printer: printer.clone(), screen, width, expected, running: Mutex::default() })
    } else {
        Arc::new(Lines { printer: printer.clone() })
    }
}

/// One plain line per thing worth knowing.
struct Lines {
    printer: Printer,
}

impl Observer for Lines {
    fn event(&self, event: Event) {
        match event {
            Event::TableStarted { table, .. } => self.printer.say(&format!("{table}: started")),
            Event::Committed { table, seq, rows, .. } => self.printer.say(&format!("{table}: committed batch {seq} with {} rows", count(rows))),
            Event::TableFinished { table, report } => self.printer.say(&finished(&table, &report)),
            Event::Retrying { .. } | Event::Warning { .. } => self.printer.say(&aside(&event)),
            Event::RunStarted { .. } | Event::Progress { .. } | Event::RunFinished { .. } => {}
        }
    }
}

/// One bar per running table; finished tables scroll away above.
struct Bars {
    printer: Printer,
    screen: MultiProgress,
    width: usize,
    expected: HashMap<String, u64>,
    running: Mutex<HashMap<String, Running>>,
}

struct Running {
    bar: ProgressBar,
    since: Instant,
}

impl Bars {
    fn start(&self, table: String) {
        let bar = match self.expected.get(&table).filter(|rows| **rows > 0) {
            Some(rows) => ProgressBar::new(*rows).with_style(style("{prefix}  {bar:28}  {msg}")),
            None => ProgressBar::new_spinner().with_style(style("{prefix}  {spinner} {msg}")),
        };
        let bar = self.screen.add(bar.with_prefix(format!("{table:width$}", width = self.width)));
        bar.enable_steady_tick(Duration::from_millis(250));
        self.lock().insert(table, Running { bar, since: Instant::now() });
    }

    fn advance(&self, table: &str, rows: u64, bytes: u64) {
        let running = self.lock();
        let Some(running) = running.get(table) else { return };
        // An estimate may be too low; a bar that is full too early says less than none.
        if running.bar.length().is_some_and(|length| length < rows) {
            running.bar.set_length(rows);
        }
        running.bar.set_position(rows);
        running.bar.set_message(format!("{} rows  {} rows/s  {}", count(rows), count(rate(rows, running.since.elapsed())), HumanBytes(bytes)));
    }

    fn end(&self, table: &str, report: &TableReport) {
        if let Some(running) = self.lock().remove(table) {
            running.bar.finish_and_clear();
            self.screen.remove(&running.bar);
        }
        self.tell(&finished(table, report));
    }

    fn tell(&self, line: &str) {
        // A terminal that went away needs no line.
        let _ = self.screen.println(self.printer.masked(line));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Bars {
    fn event(&self, event: Event) {
        match event {
            Event::TableStarted { table, .. } => self.start(table),
            Event::Progress { table, rows, bytes } => self.advance(&table, rows, bytes),
            Event::TableFinished { table, report } => self.end(&table, &report),
            Event::Retrying { .. } | Event::Warning { .. } => self.tell(&aside(&event)),
            Event::RunFinished { .. } => {
                // A terminal that went away needs no cleaning.
                let _ = self.screen.clear();
            }
            Event::RunStarted { .. } | Event::Committed { .. } => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━╌")
}

fn finished(table: &str, report: &TableReport) -> String {
    match report.status {
        TableStatus::Done => {
            let time = Duration::from_secs_f64(report.seconds.max(0.0));
            format!("{table}: {} rows in {:.1} s ({} rows/s)", count(report.rows_written), report.seconds, count(rate(report.rows_written, time)))
        }
        TableStatus::Unchanged => format!("{table}: nothing to do"),
        status @ (TableStatus::Failed | TableStatus::Skipped | TableStatus::Cancelled) => match &report.reason {
            Some(reason) => format!("{table}: {}: {reason}", status.as_str()),
            None => format!("{table}: {}", status.as_str()),
        },
    }
}

fn aside(event: &Event) -> String {
    match event {
        Event::Retrying { table, attempt, delay, message } => format!("{table}: try {attempt} in {:.1} s: {message}", delay.as_secs_f64()),
        Event::Warning { table, message } => format!("{table}: warning: {message}"),
        _ => String::new(),
    }
}

/// Whole rows per second; a rate needs at least a millisecond.
fn rate(rows: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    rows.saturating_mul(1_000) / millis
}
