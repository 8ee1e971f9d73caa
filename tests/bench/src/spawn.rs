//! Starts programs from a small process whose own environment they inherit, so that nothing is copied on the way.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::measure::{children_cpu, memory, micros};

/// Runs a program so often, each time with a new directory as its last argument, and prints wall and CPU microseconds.
pub(crate) fn run(count: usize, program: &[String]) {
    let (name, arguments) = program.split_first().expect("a program");
    let parent = arguments.last().expect("a directory");
    let mut runs = Vec::new();
    for index in 0..=count {
        let directory = Path::new(parent).join(index.to_string());
        std::fs::create_dir(&directory).expect("a directory");
        let mut command = Command::new(name);
        command.args(&arguments[..arguments.len() - 1]).arg(&directory);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let (wall, cpu) = (Instant::now(), children_cpu());
        let status = command.status().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let took = [micros(wall.elapsed()), micros(children_cpu() - cpu)];
        assert!(status.success(), "{name} ended with {status}");
        std::fs::remove_dir_all(&directory).expect("a directory");
        // The first one warms the caches.
        if index > 0 {
            runs.push(took);
        }
    }
    println!("{}", serde_json::to_string(&runs).expect("JSON"));
}

/// Runs a program and prints its peak memory, read when it is about to end.
///
/// What `wait4` says includes the parent's memory from before `exec`.
pub(crate) fn peak(program: &[String]) {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .args(program)
        .stdout(Stdio::null())
        .spawn()
        .expect("a shell");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("it stops");
    ptrace::seize(pid, Options::PTRACE_O_TRACEEXIT).expect("it can be traced");
    nix::sys::signal::kill(pid, Signal::SIGCONT).expect("it goes on");
    let mut peak = 0;
    loop {
        match waitpid(pid, None).expect("a child") {
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0, "{program:?} failed");
                break;
            }
            WaitStatus::PtraceEvent(_, _, event) => {
                if event == nix::libc::PTRACE_EVENT_EXIT {
                    peak = memory(child.id(), "VmHWM");
                }
                ptrace::cont(pid, None).expect("it goes on");
            }
            WaitStatus::Stopped(_, signal) => {
                let signal = (signal != Signal::SIGTRAP && signal != Signal::SIGCONT).then_some(signal);
                ptrace::cont(pid, signal).expect("it goes on");
            }
            WaitStatus::Signaled(_, signal, _) => panic!("{program:?} was ended by {signal}"),
            _ => {}
        }
    }
    let _ = child.wait();
    println!("{peak}");
}
