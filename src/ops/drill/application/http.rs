//! HTTP to a Databasus nearby: no redirect is followed, no proxy asked, no TLS spoken, and nothing
//! waits for ever.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use ureq::http::header::AUTHORIZATION;
use ureq::{Agent, Body, http::Response};

use crate::databasus::api::{AdminToken, Call, Method};

use super::trouble::CallError;

/// How long is waited for what.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// To be connected.
    pub(super) connect: Duration,
    /// Until an answer begins: Databasus reads the storage before it answers with a backup.
    pub(super) begin: Duration,
    /// Until the next bytes of it.
    pub(super) stall: Duration,
}

impl Patience {
    /// Of a drill.
    pub(super) const USUAL: Self = Self {
        connect: Duration::from_secs(5),
        begin: Duration::from_secs(60),
        stall: Duration::from_secs(30),
    };
}

/// Largest header that is read, in bytes.
const HEADER: usize = 16 << 10;

/// A connection's settings, and where it leads.
pub(super) struct Http {
    agent: Agent,
    to: SocketAddr,
}

/// An answer whose body is still to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Box<dyn Read>,
}

impl Http {
    pub(super) fn new(to: SocketAddr, patience: Patience) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(HEADER)
            .timeout_connect(Some(patience.connect))
            .timeout_send_request(Some(patience.stall))
            .timeout_recv_response(Some(patience.begin))
            .timeout_per_read(Some(patience.stall))
            .user_agent(concat!("databasus-escrow/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: Agent::new_with_config(config),
            to,
        }
    }

    /// Makes a call, and reads all of its answer within `most`. Whatever the status, there is one.
    pub(super) fn send(
        &self,
        call: &Call<'_>,
        admin: Option<&AdminToken>,
        most: Duration,
    ) -> Result<Answer, CallError> {
        let url = format!("http://{}{}", self.to, call.path());
        let bearer = admin.map(|token| format!("Bearer {}", token.expose()));
        let bearer = bearer.map(zeroize::Zeroizing::new);
        let answered = match call.method() {
            Method::Get => {
                let request = self
                    .agent
                    .get(&url)
                    .config()
                    .timeout_global(Some(most))
                    .build();
                match &bearer {
                    Some(bearer) => request.header(AUTHORIZATION, bearer.as_str()).call(),
                    None => request.call(),
                }
            }
            Method::Post => {
                let request = self
                    .agent
                    .post(&url)
                    .config()
                    .timeout_global(Some(most))
                    .build();
                match &bearer {
                    Some(bearer) => request.header(AUTHORIZATION, bearer.as_str()).send_empty(),
                    None => request.send_empty(),
                }
            }
        };
        answered.map(answer).map_err(|error| CallError::Silent {
            what: call.words(),
            source: std::io::Error::other(error),
        })
    }
}

fn answer(response: Response<Body>) -> Answer {
    Answer {
        status: response.status().as_u16(),
        body: Box::new(response.into_body().into_reader()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    const SHORT: Patience = Patience {
        connect: Duration::from_millis(500),
        begin: Duration::from_millis(500),
        stall: Duration::from_millis(200),
    };

    const MOST: Duration = Duration::from_secs(20);

    /// Asks for a version whoever does this with each connection; gives the answer, and how often
    /// somebody connected.
    fn asked(
        serve: impl Fn(TcpStream) + Send,
        most: Duration,
    ) -> (Result<Answer, CallError>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        thread::scope(|scope| {
            let server = scope.spawn(move || {
                let mut count = 0;
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let mut request = [0; 4096];
                    let read = stream.read(&mut request).unwrap_or(0);
                    if request[..read].starts_with(b"end") {
                        break;
                    }
                    count += 1;
                    serve(stream);
                }
                count
            });
            let answered = Http::new(to, SHORT).send(&Call::Version, None, most);
            let answered = answered.map(|mut answer| {
                let mut bytes = Vec::new();
                let read = answer.body.read_to_end(&mut bytes);
                Answer {
                    status: answer.status,
                    body: match read {
                        Ok(_) => Box::new(std::io::Cursor::new(bytes)),
                        Err(error) => Box::new(Fails(error.to_string())),
                    },
                }
            });
            TcpStream::connect(to).unwrap().write_all(b"end").unwrap();
            (answered, server.join().unwrap())
        })
    }

    struct Fails(String);

    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other(self.0.clone()))
        }
    }

    fn is_cut(answer: Result<Answer, CallError>) -> bool {
        answer.unwrap().body.read(&mut [0]).is_err()
    }

    fn hold(stream: TcpStream) {
        // Until the other side has had enough.
        let _ = (&stream).read(&mut [0]);
    }

    #[test]
    fn who_never_answers_is_silent() {
        let (answer, _) = asked(hold, MOST);
        assert!(matches!(answer, Err(CallError::Silent { .. })));
    }

    #[test]
    fn an_answer_that_stops_half_way_is_cut() {
        let (answer, _) = asked(
            |mut stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
                hold(stream);
            },
            MOST,
        );
        assert!(is_cut(answer));
    }

    #[test]
    fn an_answer_that_trickles_is_cut_when_its_time_is_up() {
        let (answer, _) = asked(
            |mut stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n");
                while stream.write_all(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
            },
            Duration::from_millis(700),
        );
        assert!(is_cut(answer));
    }

    #[test]
    fn redirects_are_answers_like_others() {
        let (answer, connections) = asked(
            |mut stream| {
                let _ = stream.write_all(
                    b"HTTP/1.1 307 Elsewhere\r\nLocation: /x\r\nContent-Length: 0\r\n\
                      Connection: close\r\n\r\n",
                );
            },
            MOST,
        );
        assert_eq!((answer.unwrap().status, connections), (307, 1));
    }

    #[test]
    fn a_header_without_end_is_not_read_to_its_end() {
        let (answer, _) = asked(
            |mut stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
                while stream
                    .write_all(b"X-Long: ........................\r\n")
                    .is_ok()
                {}
            },
            MOST,
        );
        assert!(matches!(answer, Err(CallError::Silent { .. })));
    }
}
