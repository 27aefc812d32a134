//! The tools take turns; each result is checked.

use super::ground::Ground;
use super::karat;
use super::workloads::{Mode, Standing, Target, Tool, Workload};
use crate::ChoreError;
use crate::bench::measure::{Bench, Job, Sample, remove};

/// A peer that takes longer has said enough with one run.
const LONG_SECONDS: f64 = 60.0;

const KARAT: Tool = Tool { title: "karat", name: "karat", standing: Standing::Karat };

/// What came of one tool.
pub(super) struct Outcome {
    pub(super) title: String,
    pub(super) standing: Standing,
    /// Runs with a right result.
    pub(super) samples: Vec<Sample>,
    /// Why its figures do not count.
    pub(super) trouble: Option<String>,
    /// Columns whose type changed.
    pub(super) types: Vec<String>,
}

struct Contestant {
    tool: Tool,
    job: Job,
    outcome: Outcome,
}

/// Runs Karat and the peers in turn. A peer that fails or is wrong is part of the outcome; Karat must be right.
pub(super) fn run(bench: &mut Bench<'_>, ground: &Ground, workload: &Workload) -> Result<Vec<Outcome>, ChoreError> {
    let mut contestants = prepare(bench, ground, workload)?;
    for repetition in 1..=bench.options.repetitions {
        for contestant in contestants.iter_mut().filter(|contestant| contestant.outcome.goes_on()) {
            reset(ground, workload, contestant)?;
            let sample = bench.measure_job(&contestant.job, &ground.python())?;
            contestant.judge(bench, ground, workload, sample)?;
            let outcome = &contestant.outcome;
            let said = outcome.trouble.clone().unwrap_or_else(|| format!("{:.2} s, {:.2} s of CPU, {} MiB", sample.wall_seconds, sample.cpu_seconds, sample.peak_bytes >> 20));
            bench.say(&format!("{}, {}, repetition {repetition}: {said}", workload.name, outcome.title));
        }
    }
    Ok(contestants.into_iter().map(|contestant| contestant.outcome).collect())
}

/// Everyone with a command, and with what must have happened before the first measured run.
fn prepare(bench: &mut Bench<'_>, ground: &Ground, workload: &Workload) -> Result<Vec<Contestant>, ChoreError> {
    let chosen = |tool: &Tool| bench.options.tools.is_empty() || bench.options.tools.iter().any(|start| tool.title.starts_with(start.as_str()));
    let tools: Vec<Tool> = [KARAT].into_iter().chain(workload.tools.iter().copied()).filter(chosen).collect();
    bench.say(&format!("{}: preparing", workload.name));
    if let Target::Database(system) = workload.to {
        match workload.mode {
            Mode::Upsert(_) => ground.target("peers", system, None)?,
            Mode::Copy | Mode::Increment => ground.target("empty", system, None)?,
        }
    }
    let mut contestants = Vec::new();
    for tool in tools {
        let outcome = Outcome { title: tool.title.to_owned(), standing: tool.standing, samples: Vec::new(), trouble: None, types: Vec::new() };
        let mut contestant = Contestant { tool, job: Job::default(), outcome };
        contestant.job = match (tool.standing, workload.mode) {
            (Standing::Karat, Mode::Upsert(size)) => karat::first_load(bench, ground, workload, (tool, size))?,
            (Standing::Karat, _) => karat::project(bench, ground, workload, tool)?,
            (Standing::Peer | Standing::Own, _) => contestant.plan(ground, workload)?,
        };
        if let (Mode::Upsert(_), Target::Database(system)) = (workload.mode, workload.to) {
            contestant.job.watch = Some(ground.url(system, "source"));
        }
        if workload.mode == Mode::Increment {
            let sample = bench.measure_job(&contestant.job, &ground.python())?;
            contestant.judge(bench, ground, workload, sample)?;
            contestant.outcome.samples.clear();
        }
        contestants.push(contestant);
    }
    Ok(contestants)
}

/// The state that each repetition starts from.
fn reset(ground: &Ground, workload: &Workload, contestant: &mut Contestant) -> Result<(), ChoreError> {
    let is_karat = contestant.tool.standing == Standing::Karat;
    match (workload.mode, workload.to) {
        (Mode::Increment, _) => return Ok(()),
        (Mode::Upsert(size), _) if is_karat => return karat::restore(ground, workload.from, size),
        (Mode::Upsert(_), _) => ground.target("restore", workload.from, Some("peers"))?,
        (Mode::Copy, Target::Database(system)) => ground.target("empty", system, None)?,
        (Mode::Copy, Target::Parquet) => {}
    }
    if is_karat {
        // Without what it remembers of the last run, and without the last result.
        remove(&ground.work("karat").join(".karat"))?;
        return remove(&ground.work("karat").join("lake"));
    }
    contestant.job = Job { watch: contestant.job.watch.take(), ..contestant.plan(ground, workload)? };
    Ok(())
}

impl Outcome {
    fn goes_on(&self) -> bool {
        self.trouble.is_none() && self.samples.iter().all(|sample| sample.wall_seconds < LONG_SECONDS)
    }
}

impl Contestant {
    /// The command of a peer, in an empty folder of its own.
    fn plan(&self, ground: &Ground, workload: &Workload) -> Result<Job, ChoreError> {
        let work = ground.work(self.tool.name);
        remove(&work)?;
        std::fs::create_dir_all(&work).map_err(|error| ChoreError::io("create folder", &work, &error))?;
        let asked = serde_json::json!({
            "peer": self.tool.name,
            "from": workload.from.name(),
            "to": place(workload.to),
            "mode": match workload.mode {
                Mode::Copy => "copy",
                Mode::Upsert(_) => "upsert",
                Mode::Increment => "increment",
            },
            "table": workload.table,
            "result": self.result(ground, workload),
            "work": work,
        });
        let printed = ground.script("peers.py", &["plan", &asked.to_string()])?;
        let planned: Job = serde_json::from_str(&printed).map_err(|error| ChoreError::new(format!("no plan for {}: {error}", self.tool.title)))?;
        let mut job = ground.job(planned.command);
        job.environment.extend(planned.environment);
        Ok(job)
    }

    fn result(&self, ground: &Ground, workload: &Workload) -> String {
        match (workload.to, self.tool.standing) {
            (Target::Parquet, Standing::Karat) => karat::lake(&ground.work("karat"), &workload.source()).display().to_string(),
            (Target::Parquet, Standing::Peer | Standing::Own) => ground.work(self.tool.name).join("result.parquet").display().to_string(),
            (Target::Database(_), _) => workload.result(self.tool),
        }
    }

    /// Adds a run, if its result is right.
    fn judge(&mut self, bench: &Bench<'_>, ground: &Ground, workload: &Workload, sample: Sample) -> Result<(), ChoreError> {
        let trouble = if sample.over_limit {
            Some(format!("stopped after {} s", bench.options.limit))
        } else if sample.exit != 0 {
            Some(format!("ended with {}: {}", sample.exit, bench.last_words(3).replace('\n', " ")))
        } else {
            let differences = ground.check(place(workload.to), &self.result(ground, workload), &workload.source())?;
            self.outcome.types = differences.types;
            (!differences.wrong.is_empty()).then(|| format!("wrong result: {}", differences.wrong.join(", ")))
        };
        match trouble {
            None => self.outcome.samples.push(sample),
            Some(trouble) if self.tool.standing == Standing::Karat => return Err(ChoreError::new(format!("{}: Karat {trouble}\n{}", workload.name, bench.last_words(40)))),
            Some(trouble) => self.outcome.trouble = Some(trouble),
        }
        Ok(())
    }
}

fn place(target: Target) -> &'static str {
    match target {
        Target::Parquet => "parquet",
        Target::Database(system) => system.name(),
    }
}
