//! What survives a kill: everything that was committed, nothing that was not, and the next run makes it whole.

use crate::karat::Karat;
use crate::market::TABLES;
use crate::project::Project;
use crate::reader::Reader;
use rustix::process::Signal;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Trades of the market whose runs are killed: large enough that a run takes a few seconds.
const ROWS: u32 = 200_000;

/// Kills at random moments; `KARAT_KILLS` makes it more or fewer.
fn kill_count() -> usize {
    std::env::var("KARAT_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(50)
}

#[test]
fn kill_at_random_moments_and_run_again_gives_the_same_nine_tables() {
    let Some(reader) = Reader::find("kill_at_random_moments_and_run_again_gives_the_same_nine_tables") else { return };
    let seed = seed();
    say(&format!("KARAT_SEED={seed}"));
    let whole = Project::market(ROWS);
    whole.karat(["run", "--quiet"]).run().expect(0);
    let duration = shortest_run(&whole);

    let mut random = Random(seed);
    let mut killed = 0;
    for attempt in 1.. {
        let project = market_beside(&whole);
        let moment = duration.mul_f64(random.fraction());
        let mut run = project.karat(["run", "--quiet"]).start();
        std::thread::sleep(moment);
        killed += usize::from(run.is_running());
        run.signal(Signal::KILL);
        drop(run);

        project.karat(["run", "--quiet"]).run().expect(0);

        let differences = reader.differences(&whole.warehouse(), &project.warehouse());
        assert!(differences.is_empty(), "killed after {moment:?} of {duration:?}, KARAT_SEED={seed}: {differences:?}");
        if killed == kill_count() {
            return;
        }
        assert!(attempt < 2 * kill_count(), "only {killed} of {attempt} kills met a running process: the moments are badly spread");
    }
}

/// How long an uninterrupted first run takes, when nothing else is in its way.
fn shortest_run(whole: &Project) -> Duration {
    let durations = (0..3).map(|_| {
        let project = market_beside(whole);
        let started = Instant::now();
        project.karat(["run", "--quiet"]).run().expect(0);
        started.elapsed()
    });
    durations.min().expect("three runs were measured")
}

#[test]
fn a_reader_never_sees_a_half_batch() {
    let Some(reader) = Reader::find("a_reader_never_sees_a_half_batch") else { return };
    let project = Project::market(ROWS);
    std::fs::create_dir_all(project.warehouse()).expect("folders can be made");
    let mut poller = reader.start("warehouse.py", &["poll".as_ref(), project.warehouse().as_ref()]);

    let mut random = Random(seed());
    for _ in 0..3 {
        let mut run = project.karat(["run", "--quiet"]).start();
        std::thread::sleep(Duration::from_millis(300 + random.next() % 1_500));
        if run.is_running() {
            run.signal(Signal::KILL);
        }
    }
    project.karat(["run", "--quiet"]).run().expect(0);

    drop(poller.stdin.take());
    let (mut printed, mut said) = (String::new(), String::new());
    poller.stdout.take().expect("stdout is piped").read_to_string(&mut printed).expect("the poller prints text");
    poller.stderr.take().expect("stderr is piped").read_to_string(&mut said).expect("the poller prints text");
    assert!(poller.wait().expect("the poller ends").success(), "{said}");
    let seen: serde_json::Value = serde_json::from_str(&printed).expect("the poller prints JSON");
    assert_eq!(seen["faults"], serde_json::json!([]));
    assert!(seen["reads"].as_u64().is_some_and(|reads| reads >= 10), "the poller read too little to prove anything: {seen}");
    // Each Gold table is all or nothing, and of one Silver: a bar table over half of the trades would show here.
    for count in seen["seen"]["gold trades"].as_array().into_iter().flatten() {
        let silver = seen["seen"]["silver rows"].as_array().into_iter().flatten();
        assert!(silver.into_iter().any(|rows| rows == count), "Gold counts {count} trades, which Silver never held: {seen}");
    }
}

#[test]
fn an_interrupt_ends_within_ten_seconds_and_the_next_run_goes_on() {
    interrupted(Signal::INT, 130);
}

#[test]
fn a_termination_ends_within_ten_seconds_and_the_next_run_goes_on() {
    interrupted(Signal::TERM, 143);
}

#[test]
fn a_second_interrupt_ends_a_run_at_once_even_when_it_is_stuck() {
    let project = Project::market(ROWS);
    let (mut run, reader) = project.karat(["run"]).start_unheard();
    wait_for(|| project.path().join(".karat/state.db").exists());
    std::thread::sleep(Duration::from_millis(500));

    run.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(500));
    assert!(run.is_running(), "the run did not wait for its first line to be read");
    run.signal(Signal::INT);
    let asked = Instant::now();
    let outcome = run.outcome_within(Duration::from_secs(10));

    assert_eq!(outcome.code, Some(130));
    assert!(asked.elapsed() < Duration::from_secs(1), "it took {:?}", asked.elapsed());
    drop(reader);
    project.karat(["run", "--quiet"]).run().expect(0);
}

fn interrupted(signal: Signal, code: i32) {
    let Some(reader) = Reader::find(&format!("interrupted with {code}")) else { return };
    let whole = Project::market(ROWS);
    whole.karat(["run", "--quiet"]).run().expect(0);
    let duration = shortest_run(&whole);
    let mut caught = 0;
    for part in 1..=6 {
        let project = market_beside(&whole);
        let mut run = project.karat(["run"]).start();
        std::thread::sleep(duration.mul_f64(f64::from(part) * 0.14));
        if !run.is_running() {
            continue;
        }
        caught += 1;

        run.signal(signal);
        let asked = Instant::now();
        let outcome = run.outcome_within(Duration::from_secs(10));

        // A signal that arrives while the last table commits may find nothing left to stop.
        assert!(outcome.code == Some(code) || outcome.code == Some(0), "exit code {:?} after {:?}\n{}", outcome.code, asked.elapsed(), outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        project.karat(["run", "--quiet"]).run().expect(0);
        assert_eq!(reader.differences(&whole.warehouse(), &project.warehouse()), Vec::<String>::new());
    }
    assert!(caught >= 2, "the runs ended before they could be interrupted");
}

#[test]
fn a_second_run_at_once_is_refused_and_names_the_holder() {
    let project = Project::market(ROWS);
    let mut first = project.karat(["run", "--quiet"]).start();
    let state = project.path().join(".karat/state.db");
    wait_for(|| state.exists() && project.warehouse().join("bronze").exists());
    let holder = first.id();
    assert!(first.is_running(), "the first run ended too soon to be in the way");

    let second = project.karat(["run"]).run();

    if first.is_running() {
        let second = second.expect(6);
        assert!(second.said().contains(&holder.to_string()), "the holder, process {holder}, is not named:\n{}", second.said());
    }
    let first = first.outcome();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
}

#[test]
fn the_lease_of_a_killed_run_is_free_at_once() {
    let project = Project::market(ROWS);
    let run = project.karat(["run", "--quiet"]).start();
    wait_for(|| project.warehouse().join("bronze").exists());
    run.signal(Signal::KILL);
    drop(run);

    let started = Instant::now();
    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();

    assert!(started.elapsed() < Duration::from_secs(120));
    assert_eq!(report["tables"].as_object().map(serde_json::Map::len), Some(TABLES.len()));
}

/// Another project on the same database: only what a run writes is its own.
fn market_beside(whole: &Project) -> Project {
    let project = Project::copy_of("market");
    std::fs::remove_dir_all(project.path().join("data")).expect("folders can be removed");
    std::os::unix::fs::symlink(whole.path().join("data"), project.path().join("data")).expect("links can be made");
    project
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `KARAT_SEED` to repeat a failure, else a new one.
fn seed() -> u64 {
    let given = std::env::var("KARAT_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()) | 1))
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Between 0 and 1.
    fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).expect("32 bits fit")) / f64::from(u32::MAX)
    }
}

fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn a_state_that_was_lost_is_rebuilt_from_the_warehouse() {
    let project = Project::market(2_000);
    project.karat(["run"]).run().expect(0);
    let before = shown_positions(project.path());
    for (file, _) in project.files(".karat") {
        if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("state.db")) {
            std::fs::remove_file(file).expect("files can be removed");
        }
    }

    project.karat(["state", "rebuild"]).run().expect(0);

    assert_eq!(shown_positions(project.path()), before);
    let report = project.karat(["run", "--format", "json"]).run().expect(0).json();
    for table in TABLES {
        assert_eq!(crate::market::rows(&report, table, "rows_written"), 0, "{table} was written again");
    }
}

/// What `state show` says of where each stream stands, without when and by whom that was written down.
fn shown_positions(folder: &Path) -> Vec<(String, String, String)> {
    let shown = Karat::within(folder).args(["state", "show", "--format", "json"]).run().expect(0).json();
    let streams = shown["streams"].as_array().expect("streams are a list");
    let mut positions: Vec<_> = streams.iter().map(|stream| (stream["stream"].to_string(), stream["seq"].to_string(), stream["hi"].to_string())).collect();
    positions.sort();
    assert_eq!(positions.len(), TABLES.len());
    positions
}
