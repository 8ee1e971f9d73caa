//! Servers as child processes, each ended with its owner.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

/// Servers that run now: a signal that ends us ends them.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// From now on a signal that asks us to end ends every server first.
pub(crate) fn end_with_signals() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate()).expect("a signal");
            let mut interrupt = signal(SignalKind::interrupt()).expect("a signal");
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        for id in RUNNING.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Ok(id) = i32::try_from(*id) {
                let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
            }
        }
        #[allow(clippy::exit, reason = "asked to")]
        std::process::exit(130);
    });
}

/// Certificate and key of all servers: ECDSA P-256, on loopback.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The authority, DER.
    pub(crate) authority: Vec<u8>,
}

impl Credentials {
    /// Writes `tls.crt` and `tls.key` as every server wants them.
    pub(crate) fn write(directory: &Path) -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).expect("an authority").der().to_vec();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        let leaf = params.signed_by(&key, &issuer).expect("a certificate");
        let credentials =
            Self { certificate: directory.join("tls.crt"), key: directory.join("tls.key"), authority };
        std::fs::write(&credentials.certificate, leaf.pem()).expect("a file");
        std::fs::write(&credentials.key, key.serialize_pem()).expect("a file");
        credentials
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    // Some end when this does.
    _stdin: Option<ChildStdin>,
    pub(crate) address: SocketAddr,
    /// From the start of the process to the line that says that it listens.
    pub(crate) started: Duration,
}

impl Server {
    /// Starts a server that says on its first line where it listens.
    ///
    /// Its log goes through a pipe, as in a container.
    pub(crate) fn announced(command: &mut Command) -> Self {
        let before = Instant::now();
        let mut child = spawn(command.stdout(Stdio::piped()));
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let started = before.elapsed();
        let announced: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{command:?} does not say where it listens; run it by hand"));
        let address = announced["listening"]["review"].as_str().and_then(|text| text.parse().ok());
        Self { _stdin: child.stdin.take(), child, address: address.expect("an address"), started }
    }

    /// Starts a server that is told its port, and waits until it accepts.
    pub(crate) fn on_port(command: impl FnOnce(u16) -> Command) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let before = Instant::now();
        let mut child = spawn(&mut command(address.port()));
        while TcpStream::connect(address).is_err() {
            assert!(before.elapsed() < Duration::from_secs(20), "the server does not start");
            assert!(child.try_wait().expect("a child").is_none(), "the server has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { _stdin: child.stdin.take(), child, address, started: before.elapsed() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the id can be somebody else's.
        running.retain(|id| *id != self.child.id());
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(child.id());
    let stderr = child.stderr.take().expect("a pipe");
    std::thread::spawn(move || {
        let mut stderr = BufReader::with_capacity(1 << 16, stderr);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    });
    child
}
