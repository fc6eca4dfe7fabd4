//! One gRPC call over a Unix socket, on this thread and without a runtime.
//!
//! A plugin asks one question and waits for the answer, so there is nothing to schedule: `h2` speaks
//! HTTP/2 into memory, and when it has no more to say, all of it is sent and what comes is read. A
//! request is one write, which wakes the daemon once. It knows no service and retries nothing.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{self, ResponseFuture};
use http::{HeaderMap, Request, StatusCode, Version};
use prost::Message;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::{Code, Status};

/// In front of each message: whether it is compressed, and its length in four bytes.
const PREFIX_LEN: usize = 5;

/// What is read at once; answers are shorter.
const READ_LEN: usize = 4096;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nobody listens.
    Connect(io::Error),
    /// There was no answer in time.
    TimedOut,
    /// The connection broke; says how.
    Broken(String),
    /// The answer is an error.
    Refused(Status),
}

/// Calls `method` ("/package.Service/Method") of who listens on `socket`, for at most `patience`.
pub(crate) fn call<A: Message + Default>(
    socket: &Path,
    method: &str,
    question: &impl Message,
    patience: Duration,
) -> Result<A, CallError> {
    let mut link = Link::connect(socket, patience)?;
    let pipe = Pipe(Rc::clone(&link.buffers));
    let answer = link.drive(ask(pipe, method, frame(question)))??;
    let message = answer.get(PREFIX_LEN..).unwrap_or_default();
    A::decode(message).map_err(|error| CallError::Broken(error.to_string()))
}

fn frame(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_LEN + len);
    bytes.put_u8(0);
    bytes.put_u32(len as u32); // attachments by the million would fit
    message.encode(&mut bytes).expect("it grows as it must");
    bytes.freeze()
}

async fn ask(pipe: Pipe, method: &str, question: Bytes) -> Result<Bytes, CallError> {
    let request = Request::post(format!("http://localhost{method}"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header(
            "user-agent",
            concat!("ringlay-cni/", env!("CARGO_PKG_VERSION")),
        )
        .body(())
        .map_err(|error| CallError::Broken(error.to_string()))?;
    let (mut sender, connection) = client::Builder::new()
        .enable_push(false)
        .handshake(pipe)
        .await?;
    let (answer, mut stream) = sender.send_request(request, false)?;
    stream.send_data(question, true)?;
    let (mut connection, mut answer) = (pin!(connection), pin!(receive(answer)));
    poll_fn(|context| {
        let ended = connection.as_mut().poll(context);
        match (answer.as_mut().poll(context), ended) {
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error.into())),
            (Poll::Pending, Poll::Ready(Ok(()))) => Poll::Ready(Err(closed())),
            (answer, _) => answer,
        }
    })
    .await
}

async fn receive(answer: ResponseFuture) -> Result<Bytes, CallError> {
    let (head, mut body) = answer.await?.into_parts();
    if head.status != StatusCode::OK {
        let message = format!("it answers with HTTP status {}", head.status);
        return Err(CallError::Broken(message));
    }
    // A refusal may be all there is.
    check(&head.headers)?;
    let mut bytes = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        bytes.put_slice(&part);
    }
    match body.trailers().await? {
        Some(trailers) => check(&trailers)?,
        None => return Err(closed()),
    }
    Ok(bytes.freeze())
}

fn check(headers: &HeaderMap) -> Result<(), CallError> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => Err(CallError::Refused(status)),
        _ => Ok(()),
    }
}

fn closed() -> CallError {
    CallError::Broken("it closed the connection".to_owned())
}

impl From<h2::Error> for CallError {
    fn from(error: h2::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// What is to be sent, and what came and has not been looked at.
#[derive(Debug, Default)]
struct Buffers {
    outgoing: Vec<u8>,
    incoming: BytesMut,
    /// Nothing more will come.
    ended: bool,
}

/// The socket, and until when to wait for it.
#[derive(Debug)]
struct Link {
    socket: Socket,
    deadline: Instant,
    buffers: Rc<RefCell<Buffers>>,
}

impl Link {
    fn connect(path: &Path, patience: Duration) -> Result<Self, CallError> {
        let connect = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // It bounds the time to connect, too.
            socket.set_write_timeout(Some(patience))?;
            socket.connect(&SockAddr::unix(path)?)?;
            Ok(socket)
        };
        let socket = connect().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => CallError::TimedOut,
            _ => CallError::Connect(error),
        })?;
        Ok(Self {
            socket,
            deadline: Instant::now() + patience,
            buffers: Rc::default(),
        })
    }

    /// Runs a future that waits for nothing but this link.
    fn drive<T>(&mut self, future: impl Future<Output = T>) -> Result<T, CallError> {
        let mut future = pin!(future);
        let again = Arc::new(Again::default());
        let waker = Waker::from(Arc::clone(&again));
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Ok(done);
            }
            if !again.0.swap(false, Ordering::Relaxed) {
                self.exchange().map_err(|error| match error.kind() {
                    io::ErrorKind::WouldBlock => CallError::TimedOut,
                    _ => CallError::Broken(error.to_string()),
                })?;
            }
        }
    }

    /// Sends what is to be sent, and waits for more to come.
    fn exchange(&mut self) -> io::Result<()> {
        let mut buffers = self.buffers.borrow_mut();
        self.socket.write_all(&buffers.outgoing)?;
        buffers.outgoing.clear();
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        let mut bytes = [0; READ_LEN];
        let len = self.socket.read(&mut bytes)?;
        buffers.incoming.put_slice(&bytes[..len]);
        buffers.ended = len == 0;
        Ok(())
    }
}

/// Whether some part of the future can go on without the link.
#[derive(Debug, Default)]
struct Again(AtomicBool);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The near end of the link, which never waits.
#[derive(Debug)]
struct Pipe(Rc<RefCell<Buffers>>);

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffers = self.0.borrow_mut();
        if buffers.incoming.is_empty() && !buffers.ended {
            return Poll::Pending;
        }
        let len = buffers.incoming.len().min(into.remaining());
        into.put_slice(&buffers.incoming.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
