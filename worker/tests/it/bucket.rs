//! A real S3 server for one test. A proxy before it, the gate, can stop answering.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What happens to the request at which the gate closes.
#[derive(Clone, Copy, Debug)]
pub enum Last {
    /// The server does not receive it.
    Refused,
    /// The server carries it out, and the answer is lost.
    Unanswered,
}

/// Selects requests by their first line, such as `PUT /bucket/key?partNumber=1 HTTP/1.1`.
pub type Meant = fn(&str) -> bool;

#[derive(Default)]
struct Gate {
    is_closed: AtomicBool,
    closes_at: Mutex<Option<(Meant, Last)>>,
}

/// A server with a bucket `eddyline`. It stops at the end of the test.
pub struct Bucket {
    port: u16,
    data: tempfile::TempDir,
    gate: Arc<Gate>,
    /// The address of the gate.
    endpoint: String,
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

impl Bucket {
    pub fn start() -> Self {
        let (free, port) = listen();
        drop(free);
        let (listener, gate_port) = listen();
        let gate = Arc::<Gate>::default();
        let guard = Arc::clone(&gate);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let gate = Arc::clone(&guard);
                // The client notices if the connection breaks, so the error is ignored here.
                std::thread::spawn(move || drop(pass(client, port, &gate)));
            }
        });
        let endpoint = format!("http://127.0.0.1:{gate_port}");
        let bucket = Self { port, data: tempfile::tempdir().expect("a folder"), gate, endpoint };
        bucket.script("start");
        bucket
    }

    fn script(&self, verb: &str) {
        let script = format!("{}/../e2e/services/s3/server.sh", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(script);
        command.arg(verb).env("S3_PORT", self.port.to_string()).env("S3_DATA", self.data.path());
        let output = command.output().expect("the script runs");
        assert!(output.status.success(), "server.sh {verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Options of a table in the bucket.
    pub fn options(&self, folder: &str) -> String {
        format!(
            "'connector' = 'filesystem', 'path' = 's3://eddyline/{folder}', 's3.endpoint' = '{}', 's3.region' = 'us-east-1',
  's3.access-key' = 'eddyline', 's3.secret-key' = 'eddyline'",
            self.endpoint
        )
    }

    /// Closes the gate at the next request that `meant` selects. That request and all later ones fail until the gate is
    /// opened.
    pub fn close_at(&self, meant: Meant, last: Last) {
        *self.gate.closes_at.lock().expect("no panic") = Some((meant, last));
    }

    /// Whether the gate is closed.
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed.load(Ordering::SeqCst)
    }

    /// Opens the gate.
    pub fn open(&self) {
        self.gate.is_closed.store(false, Ordering::SeqCst);
    }

    /// The folder in which the server has the objects of the bucket as files.
    pub fn objects(&self) -> PathBuf {
        self.data.path().join("files/eddyline")
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.script("stop");
    }
}

/// Forwards the one request of a connection, and its answer.
fn pass(mut client: TcpStream, server: u16, gate: &Gate) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head = loop {
        let mut block = [0; 65536];
        let count = client.read(&mut block)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&block[..count]);
        if let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).into_owned();
    let header = |name: &str| {
        let found =
            text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)));
        found.map(|(_, value)| value.trim().to_owned())
    };
    let body: usize = header("content-length").map_or(0, |length| length.parse().expect("a length"));
    let received = request.len() - head;
    request.resize(head + body, 0);
    client.read_exact(&mut request[head + received..])?;

    let line = text.lines().next().unwrap_or_default();
    let closing = gate.closes_at.lock().expect("no panic").take_if(|(meant, _)| meant(line)).map(|(_, last)| last);
    if closing.is_some() {
        gate.is_closed.store(true, Ordering::SeqCst);
    }
    if matches!(closing, Some(Last::Refused)) || (closing.is_none() && gate.is_closed.load(Ordering::SeqCst)) {
        return Ok(());
    }
    let mut upstream = TcpStream::connect(("127.0.0.1", server))?;
    // The server closes the connection after its answer, which shows where the answer ends.
    upstream.write_all(&request[..head - 2])?;
    upstream.write_all(b"Connection: close\r\n\r\n")?;
    upstream.write_all(&request[head..])?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    if closing.is_some() { Ok(()) } else { client.write_all(&answer) }
}
