//! The built `init-sync` against other ways to make ten files of one megabyte of variables.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use init_sync::{Encoding, Entry, File, MANIFEST_VARIABLE, Manifest};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::Progress;
use crate::args::{Bench, output, program, repository};
use crate::fixtures::noise;
use crate::measure::{Samples, count, quantile};
use crate::picture::Panel;
use crate::report::{Report, Threshold};

const FILES: usize = 10;
/// Encoded bytes of each: near the kernel's limit of one variable.
const ENCODED: usize = 104_856;

/// What a shell script would do; no digests, no renames.
const SCRIPT: &str = "for i in 0 1 2 3 4 5 6 7 8 9; do \
    eval \"printf %s \\\"\\$f$i\\\"\" | busybox base64 -d > \"$1/f$i\" || exit 1; done";

/// An empty process: the kernel's own share, since every program is handed the same environment.
const EMPTY: &str = r#"
#if defined(__x86_64__)
__attribute__((naked, noreturn)) void _start(void) { __asm__("xor %edi, %edi\n mov $60, %eax\n syscall"); }
#elif defined(__aarch64__)
__attribute__((naked, noreturn)) void _start(void) { __asm__("mov x0, #0\n mov x8, #93\n svc #0"); }
#else
#error "not known here"
#endif
"#;

/// A program and how often it runs in a round.
struct Subject {
    name: &'static str,
    program: Vec<String>,
    runs: usize,
}

pub(crate) fn run(bench: &Bench, progress: &Progress, report: &mut Report) {
    let binary = match bench.init_sync() {
        Ok(binary) => binary,
        Err(missing) => return report.missing(&format!("suite init-sync: {missing}")),
    };
    let gnu = is_gnu(&binary);
    let environment = environment();
    let scratch = scratch();
    let text = |path: &Path| path.display().to_string();
    let subjects: Vec<Result<Subject, String>> = vec![
        Ok(Subject { name: "init-sync", program: vec![text(&binary), "--to".to_owned()], runs: 40 }),
        shell(bench, scratch.path()),
        java(),
        empty().map(|binary| Subject { name: "an empty process", program: vec![text(&binary)], runs: 40 }),
    ];
    let mut wall: Vec<Samples> = vec![Samples::default(); subjects.len()];
    let mut cpu = wall.clone();
    for round in 1..=bench.rounds() {
        progress.say(&format!("init-sync, round {round} of {}", bench.rounds()));
        for (index, subject) in subjects.iter().enumerate() {
            let Ok(subject) = subject else { continue };
            let runs = if bench.quick { subject.runs.div_ceil(4) } else { subject.runs };
            let found = spawn(&subject.program, runs, &environment, scratch.path());
            // Whoever waits for a core says nothing about the program: the best of the round.
            let best = found.iter().map(|run| run[0]).fold(f64::INFINITY, f64::min);
            wall[index].push(best);
            let all: Vec<f64> = found.iter().map(|run| run[1]).collect();
            cpu[index].push(quantile(&all, 0.5));
        }
    }
    let ours = (&wall[0], &cpu[0]);
    let rows = [
        (1, "a busybox script", Threshold::AtLeast(15.0)),
        (2, "a Java class", Threshold::AtLeast(25.0)),
        (3, "an empty process", Threshold::AtMost(if gnu { 4.0 } else { 3.2 })),
    ];
    for (index, name, threshold) in rows {
        for (unit, ours, reference) in [("µs CPU", ours.1, &cpu[index]), ("µs", ours.0, &wall[index])] {
            let name = format!("init-sync, 1 MB in 10 files, against {name}");
            match (&subjects[index], threshold) {
                (Err(why), _) => report.without(&name, unit, ours, threshold, why),
                (Ok(_), Threshold::AtLeast(limit)) => report.at_least(&name, unit, ours, reference, limit),
                (Ok(_), Threshold::AtMost(limit)) => report.at_most(&name, unit, ours, reference, limit),
                (Ok(_), Threshold::None) => report.beside(&name, unit, ours, reference),
            }
        }
    }
    let bars = subjects
        .iter()
        .zip(&wall)
        .filter_map(|(subject, wall)| Some((subject.as_ref().ok()?.name.to_owned(), wall.median() / 1e3)));
    report.panel(Panel::bars("1 MB in 10 files: start to end", "ms", bars.collect()));
    progress.say("init-sync, memory and system calls");
    once(report, &binary, gnu, &environment, scratch.path());
}

/// What does not vary from run to run.
fn once(report: &mut Report, binary: &Path, gnu: bool, environment: &[(String, String)], scratch: &Path) {
    let directory = |name: &str| {
        let directory = scratch.join(name);
        std::fs::create_dir(&directory).expect("a directory");
        directory
    };
    let handed: usize = environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let itself = std::env::current_exe().expect("this program");
    let peak = Command::new(itself)
        .args(["peak", "--"])
        .arg(binary)
        .arg("--to")
        .arg(directory("peak"))
        .env_clear()
        .envs(environment.iter().cloned())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&peak.stdout).trim().parse::<usize>();
    match text {
        Ok(peak) => {
            let above = count(peak.saturating_sub(handed)) / 1e6;
            let name = "init-sync, peak memory above its environment";
            report.absolute(name, "MB", &Samples::one(above), Threshold::AtMost(1.5));
        }
        Err(_) => report.missing("peak memory of init-sync: it cannot be traced"),
    }
    match program("strace") {
        None => report.missing("system calls of init-sync: no strace"),
        Some(strace) => {
            let calls = |directory: &Path, environment: &[(String, String)]| {
                let counts = scratch.join("calls");
                let mut command = Command::new(&strace);
                command.args(["-f", "-o"]).arg(&counts).arg(binary).arg("--to").arg(directory);
                command.env_clear().envs(environment.iter().cloned());
                let done = command.output().is_ok_and(|output| output.status.success());
                let text = std::fs::read_to_string(&counts).unwrap_or_default();
                done.then(|| text.lines().filter(|line| line.contains('(')).count())
            };
            if let Some(calls) = calls(&directory("calls-of"), environment) {
                let each = Samples::one(count(calls) / count(FILES));
                report.absolute("init-sync, system calls per file", "", &each, Threshold::AtMost(12.0));
            } else {
                report.missing("system calls of init-sync: it cannot be traced");
            }
        }
    }
    match program("valgrind")
        .and_then(|valgrind| instructions(&valgrind, binary, &directory("counted"), environment))
    {
        Some(counted) => {
            let name = "init-sync instructions, 1 MB in 10 files";
            report.absolute(name, "millions", &Samples::one(counted / 1e6), Threshold::None);
        }
        None => report.missing("instruction count of init-sync: no valgrind that runs it"),
    }
    let size = std::fs::metadata(binary).map_or(0, |metadata| metadata.len());
    let size = count(usize::try_from(size).unwrap_or_default()) / 1e3;
    let libc = if gnu { "gnu" } else { "musl" };
    let limit = Threshold::AtMost(if gnu { 1250.0 } else { 550.0 });
    report.absolute(&format!("init-sync, static binary ({libc})"), "kB", &Samples::one(size), limit);
}

fn instructions(
    valgrind: &Path,
    binary: &Path,
    directory: &Path,
    environment: &[(String, String)],
) -> Option<f64> {
    let mut command = Command::new(valgrind);
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(binary)
        .arg("--to")
        .arg(directory);
    let output = command.env_clear().envs(environment.iter().cloned()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().find_map(|line| line.split_once("Collected :"))?.1.trim().parse().ok()
}

/// A manifest, and the variables that it names.
fn environment() -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut entries = Vec::new();
    for index in 0..FILES {
        let content = noise(ENCODED / 4 * 3, index).into_bytes();
        let name = format!("f{index}");
        entries.push(Entry::File(File {
            path: name.clone(),
            mode: 0o444,
            size: u64::try_from(content.len()).expect("a size"),
            digest: Sha256::digest(&content).into(),
            encoding: Encoding::Plain,
            variables: vec![name.clone()],
        }));
        variables.push((name, STANDARD.encode(content)));
    }
    let manifest = Manifest { directory: "/nowhere".to_owned(), entries };
    variables.push((MANIFEST_VARIABLE.to_owned(), manifest.to_string()));
    variables
}

/// A directory in memory, as an emptyDir often is; the disk says nothing about the programs.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory).ok() } else { None };
    made.unwrap_or_else(|| tempfile::tempdir().expect("a directory"))
}

fn spawn(command: &[String], runs: usize, environment: &[(String, String)], scratch: &Path) -> Vec<[f64; 2]> {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["spawn", &runs.to_string(), "--"])
        .args(command)
        .arg(scratch)
        .env_clear()
        .envs(environment.iter().cloned())
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    serde_json::from_slice(&output.stdout).expect("figures")
}

fn shell(bench: &Bench, scratch: &Path) -> Result<Subject, String> {
    let busybox = bench.busybox().ok_or("the shell reference: no busybox")?;
    let (script, busybox) = (scratch.join("script"), busybox.display().to_string());
    std::fs::write(&script, SCRIPT.replace("busybox", &busybox)).map_err(|error| error.to_string())?;
    let program = vec![busybox, "sh".to_owned(), script.display().to_string()];
    Ok(Subject { name: "busybox sh, base64 -d", program, runs: 8 })
}

fn java() -> Result<Subject, String> {
    let (Some(java), Some(javac)) = (program("java"), program("javac")) else {
        return Err("the Java reference: no java or no javac".to_owned());
    };
    let classes = output().join("java");
    let source = repository().join("tests/bench/java/Decode.java");
    build(Command::new(javac).arg("-d").arg(&classes).arg(source), "the Java reference")?;
    // As quick to start as Java can be made without a prepared archive.
    let mut program = vec![java.display().to_string()];
    program.extend(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp"].map(str::to_owned));
    program.extend([classes.display().to_string(), "Decode".to_owned()]);
    Ok(Subject { name: "Java class", program, runs: 4 })
}

fn empty() -> Result<PathBuf, String> {
    let what = "the empty process";
    let compiler = program("cc").ok_or(format!("{what}: no cc"))?;
    let (source, binary) = (output().join("empty.c"), output().join("empty"));
    std::fs::create_dir_all(output()).map_err(|error| error.to_string())?;
    std::fs::write(&source, EMPTY).map_err(|error| error.to_string())?;
    let flags = ["-O2", "-static", "-nostdlib", "-nostartfiles", "-fno-stack-protector", "-o"];
    build(Command::new(compiler).args(flags).arg(&binary).arg(source), what)?;
    Ok(binary)
}

fn build(command: &mut Command, what: &str) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{what}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or("it does not compile");
    if output.status.success() { Ok(()) } else { Err(format!("{what}: {last}")) }
}

/// glibc asks the processor dozens of questions at each start, each a trap in a virtual machine; musl asks none.
fn is_gnu(binary: &Path) -> bool {
    let bytes = std::fs::read(binary).unwrap_or_default();
    bytes.windows(14).any(|window| window == b"GLIBC_TUNABLES")
}
