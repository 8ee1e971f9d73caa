//! The built `spark-injector serve` as a child process on loopback.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::balancer::Balancer;
use crate::client::{Api, Credential, Reply};
use crate::pki::Authority;
use crate::places;
use crate::process::{Process, wait_until};
use crate::registration::Registration;
use crate::scratch::Scratch;

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(30);
/// Lines of the log that are kept, the latest: at full speed there are ten million in five minutes.
const LOG_LINES: usize = 100_000;

/// What `serve` proves itself with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Files that an authority of the harness signed, for loopback addresses.
    #[default]
    Files,
    /// What the arguments say. The server may make its own.
    Arguments,
}

/// How a webhook is started. Addresses on loopback are added unless the arguments have `--listen`.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// Another `spark-injector` than the built one.
    pub program: Option<&'a Path>,
    /// Arguments after `serve`.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(&'a str, String)>,
    /// Whose rights it has on an API server.
    pub kubeconfig: Option<&'a Path>,
    /// What it proves itself with.
    pub certificate: Certificate,
    /// How many descriptors it may hold, where that is to be few.
    pub descriptors: Option<u32>,
}

/// A running webhook; killed when dropped.
#[derive(Debug)]
pub struct Webhook {
    process: Process,
    review: SocketAddr,
    admin: SocketAddr,
    authority: Authority,
    log: Arc<Mutex<Lines>>,
    // The certificate files, for as long as the server may read them again.
    files: Scratch,
}

impl Webhook {
    /// Serves from the directory `from` (profiles, sources, namespaces as YAML).
    pub fn start(from: &Path, extra: &[&str]) -> Self {
        let from = from.to_str().expect("a path in UTF-8");
        let args = ["--from", from].iter().chain(extra).map(ToString::to_string).collect();
        Self::launch(&Options { args, ..Options::default() })
    }

    /// Serves with exactly these arguments after `serve` (addresses and certificates are added), and this
    /// kubeconfig: with sources and controllers on a cluster.
    pub fn start_on_cluster(kubeconfig: &Path, args: &[&str]) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        Self::launch(&Options { args, kubeconfig: Some(kubeconfig), ..Options::default() })
    }

    /// Serves as these options say.
    ///
    /// # Panics
    /// When it does not print its addresses, with what it said instead.
    pub fn launch(options: &Options<'_>) -> Self {
        let files = Scratch::new("webhook");
        let authority = Authority::new("webhook-ca");
        let mut command =
            Command::new(options.program.map_or_else(places::spark_injector, Path::to_path_buf));
        command.arg("serve").args(&options.args);
        command.envs(options.env.iter().map(|(name, value)| (*name, value.as_str())));
        if let Some(kubeconfig) = options.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        if !options.args.iter().any(|argument| argument.starts_with("--listen")) {
            command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        }
        if options.certificate == Certificate::Files {
            let (certificate, key) = authority.server("spark-injector").write(files.path(), "tls");
            command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
        }
        let mut process = Process::spawn("spark-injector", &command, Stdio::piped(), Stdio::piped());

        let log = Arc::new(Mutex::new(Lines::default()));
        let (kept, stderr) = (Arc::clone(&log), process.stderr().expect("a pipe"));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let (sender, lines) = mpsc::channel();
        let stdout = process.stdout().expect("a pipe");
        std::thread::spawn(move || {
            // Read to the end even when nobody listens: a full pipe would stop the server.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });

        let first = lines.recv_timeout(START).unwrap_or_else(|_| {
            let status = process.wait(Duration::from_millis(200));
            let log = lines_of(&log, 0).join("\n");
            panic!("spark-injector serve printed no address (status {status:?}); it said:\n{log}")
        });
        let ready: Value = serde_json::from_str(&first).unwrap_or(Value::Null);
        let address = |name: &str| -> SocketAddr {
            let text = ready["listening"][name].as_str().and_then(|text| text.parse().ok());
            text.unwrap_or_else(|| panic!("no address \"{name}\" in the first line: {first}"))
        };
        let (review, admin) = (address("review"), address("admin"));
        Self { process, review, admin, authority, log, files }
    }

    /// The URL that the API server calls.
    pub fn url(&self) -> String {
        format!("https://{}/mutate", self.review)
    }

    /// How to register it under this name.
    pub fn registration(&self, name: &str) -> Registration {
        Registration::new(name, &self.url(), self.authority.certificate())
    }

    /// The address of the review port.
    pub fn review_address(&self) -> SocketAddr {
        self.review
    }

    /// The address of the admin port.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Becomes an endpoint of this balancer, and gets connections while it is ready.
    pub fn join(&self, balancer: &Balancer) {
        balancer.add(self.review, Some(self.admin));
    }

    /// The authority that signed the serving certificate, where that is [`Certificate::Files`].
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The directory of `tls.crt` and `tls.key`: replace them to test a reload.
    pub fn tls_directory(&self) -> &Path {
        self.files.path()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// A connection straight to the review port, past any API server.
    pub fn direct(&self, credential: Credential) -> Api {
        Api::new(&format!("https://{}", self.review), self.authority.der(), credential)
    }

    /// Posts one review straight to the webhook. Whoever posts many keeps one [`Webhook::direct`].
    #[track_caller]
    pub fn review(&self, review: &Value) -> Reply {
        self.direct(Credential::None).post("/mutate", review)
    }

    /// GET on the admin port (`/livez`, `/readyz`, `/metrics`): status and body.
    pub fn admin(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).expect("the admin port answers");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        stream.write_all(request.as_bytes()).expect("a request");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no HTTP answer: {head}")), body.to_owned())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When it does not within a minute, with what it says instead.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        let ready = wait_until(Duration::from_secs(60), || (self.admin("/readyz").0 == 200).then_some(()));
        assert!(ready.is_some(), "not ready: {}\n{}", self.admin("/readyz").1, self.log().join("\n"));
    }

    /// The metrics, as text.
    pub fn metrics(&self) -> String {
        self.admin("/metrics").1
    }

    /// The lines on standard error so far, the latest if there are very many.
    pub fn log(&self) -> Vec<String> {
        lines_of(&self.log, 0)
    }

    /// A place in the log, for [`Webhook::wait_for_log_after`]: what comes from now on.
    pub fn log_mark(&self) -> usize {
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        lines.dropped + lines.kept.len()
    }

    /// Waits for a line on standard error that contains `text`; one that was there before counts as well.
    ///
    /// # Panics
    /// When none comes within 10 s, with what came instead.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        self.wait_for_log_after(0, text)
    }

    /// Waits for a line after this place in the log.
    ///
    /// # Panics
    /// When none comes within 10 s, with what came instead.
    #[track_caller]
    pub fn wait_for_log_after(&self, mark: usize, text: &str) -> String {
        let found = wait_until(Duration::from_secs(10), || {
            lines_of(&self.log, mark).into_iter().find(|line| line.contains(text))
        });
        found.unwrap_or_else(|| panic!("no line with {text:?} in:\n{}", self.log().join("\n")))
    }

    /// Sends a signal by its short name: `STOP` makes it hang, `CONT` lets it go on.
    pub fn signal(&mut self, signal: &str) {
        self.process.signal(signal);
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Sends SIGTERM and does not wait.
    pub fn terminate(&mut self) {
        self.process.signal("TERM");
    }

    /// Sends SIGTERM, if [`Webhook::terminate`] has not, and waits for the end.
    ///
    /// # Panics
    /// When it is still there after 30 s.
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.process.wait(STOP).unwrap_or_else(|| panic!("still running: {}", self.log().join("\n")))
    }
}

/// What was written on standard error, the latest if that is very much.
#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    dropped: usize,
}

impl Lines {
    fn push(&mut self, line: String) {
        if self.kept.len() == LOG_LINES {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(line);
    }
}

fn lines_of(log: &Mutex<Lines>, mark: usize) -> Vec<String> {
    let lines = log.lock().unwrap_or_else(PoisonError::into_inner);
    lines.kept.iter().skip(mark.saturating_sub(lines.dropped)).cloned().collect()
}
