//! A way to a real server that loses answers, cuts them, or gives its own.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What happens to a request.
#[derive(Clone, Copy)]
pub enum Fault {
    /// It reaches the server, and the answer comes back.
    None,
    /// It reaches the server, and the answer is lost.
    LoseAnswer,
    /// It reaches the server, and only half of the answer comes back.
    CutAnswer,
    /// It does not reach the server: this status and S3 error code come back.
    Answer(u16, &'static str),
}

/// A fault for the first `times` requests whose head (request line and headers) `suits`.
pub struct Plan {
    pub fault: Fault,
    pub times: u32,
    pub suits: fn(&str) -> bool,
}

/// An endpoint in front of the server on `port`. It listens until the process ends.
pub fn endpoint(port: u16, plan: Plan) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let plan = Arc::new((plan, AtomicU32::new(0)));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let plan = Arc::clone(&plan);
            std::thread::spawn(move || exchange(client, port, &plan.0, &plan.1));
        }
    });
    format!("http://{address}")
}

/// One request per connection.
fn exchange(mut client: TcpStream, port: u16, plan: &Plan, done: &AtomicU32) -> io::Result<()> {
    let (head, body) = request(&mut client)?;
    let planned = (plan.suits)(&head) && done.fetch_add(1, Ordering::SeqCst) < plan.times;
    let fault = if planned { plan.fault } else { Fault::None };
    if let Fault::Answer(status, code) = fault {
        let xml = format!("<Error><Code>{code}</Code><Message>planned</Message></Error>");
        let len = xml.len();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {len}\r\nconnection: close");
        return client.write_all(format!("{head}\r\n\r\n{xml}").as_bytes());
    }
    let mut answer = Vec::new();
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.write_all(format!("{}\r\nconnection: close\r\n\r\n", head.trim_end()).as_bytes())?;
    server.write_all(&body)?;
    server.read_to_end(&mut answer)?;
    match fault {
        Fault::LoseAnswer => {}
        Fault::CutAnswer => client.write_all(&answer[..answer.len() / 2])?,
        _ => client.write_all(&answer)?,
    }
    client.shutdown(Shutdown::Both)
}

fn request(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let found = name.eq_ignore_ascii_case("content-length");
        found.then(|| value.trim().parse().unwrap_or(0))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    Ok((head, body))
}
