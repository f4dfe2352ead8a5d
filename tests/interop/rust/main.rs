//! tonic against the interop service. ../README.md has the cases.

use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST_SIZES: [usize; 4] = [27182, 8, 1828, 45904];
const ANSWER_SIZES: [usize; 4] = [31415, 9, 2653, 58979];
const SPECIAL_MESSAGE: &str = "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n";
const METADATA_ANSWER: &str = "interop-data-bin=abab00ff01
interop-text=746573742076616c7565
interop-twice=61
interop-twice=62";
const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";
const INITIAL: &str = "test_initial_metadata_value";
const TRAILING: &[u8] = b"\xab\xab\xab";

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Messages are bytes.
#[derive(Clone, Copy, Default)]
struct AsIs;

impl Codec for AsIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = AsIs;
    type Decoder = AsIs;

    fn encoder(&mut self) -> AsIs {
        AsIs
    }

    fn decoder(&mut self) -> AsIs {
        AsIs
    }
}

impl Encoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

fn pattern(size: usize) -> Bytes {
    (0..size).map(|i| (i % 251) as u8).collect()
}

/// A request of `size` bytes.
fn ask(answer_sizes: &[usize], size: usize) -> Bytes {
    let words: Vec<String> = answer_sizes.iter().map(usize::to_string).collect();
    let mut made = words.join(",").into_bytes();
    made.push(b'\n');
    let rest = pattern(size - made.len());
    made.extend_from_slice(&rest);
    made.into()
}

fn short(value: impl Debug) -> String {
    format!("{value:?}").chars().take(200).collect()
}

fn expect<T: PartialEq<U> + Debug, U: Debug>(what: &str, found: T, wanted: U) -> Outcome {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what}: {}, expected {}", short(found), short(wanted)).into())
}

fn expect_failure<T: Debug>(result: Result<T, Status>, code: Code, message: Option<&str>) -> Outcome {
    match result {
        Ok(answer) => Err(format!("answered with {}, expected {code:?}", short(answer)).into()),
        Err(status) if status.code() != code => Err(format!("ended with {status:?}, expected {code:?}").into()),
        Err(status) => message.map_or(Ok(()), |wanted| expect("message", status.message(), wanted)),
    }
}

fn path(method: &str) -> PathAndQuery {
    let service = if method.starts_with('/') { "" } else { "/barid.interop.Interop/" };
    format!("{service}{method}").parse().expect("a path")
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

#[derive(Clone)]
struct Client(Channel);

/// A stream that is written and read by turns.
struct Stream {
    requests: Option<mpsc::UnboundedSender<Bytes>>,
    initial: MetadataMap,
    answers: Streaming<Bytes>,
}

impl Stream {
    fn send(&self, message: Bytes) {
        self.requests.as_ref().expect("not closed").send(message).ok();
    }

    fn half_close(&mut self) {
        self.requests = None;
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Status> {
        self.answers.message().await
    }
}

impl Client {
    async fn grpc(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        Ok(grpc)
    }

    async fn call(&self, method: &str, request: Request<Bytes>) -> Result<Bytes, Status> {
        Ok(self.grpc().await?.unary(request, path(method), AsIs).await?.into_inner())
    }

    async fn unary(&self, method: &str, message: impl Into<Bytes>) -> Result<Bytes, Status> {
        self.call(method, request(message.into())).await
    }

    async fn open(&self, method: &str, timeout: Duration, metadata: MetadataMap) -> Result<Stream, Status> {
        let (requests, receiver) = mpsc::unbounded_channel();
        let mut opened = Request::new(UnboundedReceiverStream::new(receiver));
        *opened.metadata_mut() = metadata;
        opened.set_timeout(timeout);
        let (initial, answers, _) = self.grpc().await?.streaming(opened, path(method), AsIs).await?.into_parts();
        Ok(Stream { requests: Some(requests), initial, answers })
    }

    async fn stream(&self, method: &str) -> Result<Stream, Status> {
        self.open(method, PATIENCE, MetadataMap::new()).await
    }

    async fn empty_unary(self) -> Outcome {
        expect("answer", self.unary("Empty", "").await?, "")
    }

    async fn large_unary(self) -> Outcome {
        expect("answer", self.unary("Answer", ask(&[314159], 271828)).await?, pattern(314159))
    }

    async fn client_streaming(self) -> Outcome {
        let requests: Vec<Bytes> = REQUEST_SIZES.iter().map(|&size| pattern(size)).collect();
        let requests = request(tokio_stream::iter(requests));
        let answer = self.grpc().await?.client_streaming(requests, path("Sum"), AsIs).await?;
        expect("sum", answer.into_inner(), "74922")
    }

    async fn server_streaming(self) -> Outcome {
        let asked = request(ask(&ANSWER_SIZES, 100));
        let mut answers = self.grpc().await?.server_streaming(asked, path("Answers"), AsIs).await?.into_inner();
        for size in ANSWER_SIZES {
            expect("answer", answers.message().await?, Some(pattern(size)))?;
        }
        expect("end", answers.message().await?, None::<Bytes>)
    }

    async fn ping_pong(self) -> Outcome {
        let mut stream = self.stream("PingPong").await?;
        for (size, answer_size) in REQUEST_SIZES.into_iter().zip(ANSWER_SIZES) {
            stream.send(ask(&[answer_size], size));
            expect("answer", stream.read().await?, Some(pattern(answer_size)))?;
        }
        stream.half_close();
        expect("end", stream.read().await?, None::<Bytes>)
    }

    async fn empty_stream(self) -> Outcome {
        let mut stream = self.stream("PingPong").await?;
        stream.half_close();
        expect("end", stream.read().await?, None::<Bytes>)
    }

    /// A call of tonic is cancelled by dropping it, and nobody is told a code. That the server is told shows in how its
    /// stream ended.
    async fn cancel_after_begin(self) -> Outcome {
        let (name, metadata) = named();
        drop(self.open("Sleep", PATIENCE, metadata).await?);
        expect("ending", self.unary("Ending", name).await?, "lost")
    }

    async fn cancel_after_first_response(self) -> Outcome {
        let (name, metadata) = named();
        let mut stream = self.open("Sleep", PATIENCE, metadata).await?;
        stream.send(ask(&[31415], 27182));
        expect("answer", stream.read().await?, Some(pattern(31415)))?;
        drop(stream);
        expect("ending", self.unary("Ending", name).await?, "lost")
    }

    /// tonic watches a deadline until the headers of the answer, which a stream has at once; then the server does.
    async fn timeout_on_sleeping_server(self) -> Outcome {
        let mut stream = self.open("Sleep", Duration::from_millis(500), MetadataMap::new()).await?;
        expect_failure(stream.read().await, Code::DeadlineExceeded, None)
    }

    async fn deadline_is_told(self) -> Outcome {
        let mut minute = Request::new(Bytes::new());
        minute.set_timeout(Duration::from_secs(60));
        let left: u64 = std::str::from_utf8(&self.call("Deadline", minute).await?)?.parse()?;
        if left <= 30_000 || left > 65_000 {
            return Err(format!("{left} ms of 60 s are left").into());
        }
        expect("left", self.call("Deadline", Request::new(Bytes::new())).await?, "none")
    }

    async fn expect_status(self, message: &str) -> Outcome {
        let request = Bytes::from(format!("2\n{message}"));
        expect_failure(self.unary("Fail", request.clone()).await, Code::Unknown, Some(message))?;
        let mut stream = self.stream("FailStream").await?;
        stream.send(request);
        expect_failure(stream.read().await, Code::Unknown, Some(message))
    }

    async fn status_code_and_message(self) -> Outcome {
        self.expect_status("test status message").await
    }

    async fn special_status_message(self) -> Outcome {
        self.expect_status(SPECIAL_MESSAGE).await
    }

    async fn custom_metadata(self) -> Outcome {
        let mut asked = request(Bytes::new());
        let metadata = asked.metadata_mut();
        metadata.insert_bin("interop-data-bin", BinaryMetadataValue::from_bytes(b"\xab\xab\x00\xff\x01"));
        metadata.insert("interop-text", "test value".parse()?);
        metadata.append("interop-twice", "a".parse()?);
        metadata.append("interop-twice", "b".parse()?);
        expect("metadata", self.call("Metadata", asked).await?, METADATA_ANSWER)?;

        let mut all = MetadataMap::new();
        all.insert(ECHO_INITIAL, INITIAL.parse()?);
        all.insert_bin(ECHO_TRAILING, BinaryMetadataValue::from_bytes(TRAILING));
        let mut asked = Request::new(ask(&[314159], 271828));
        asked.metadata_mut().clone_from(&all);
        asked.set_timeout(PATIENCE);
        // tonic puts headers and trailers of a unary call together.
        let (metadata, answer, _) = self.grpc().await?.unary(asked, path("Answer"), AsIs).await?.into_parts();
        expect("answer", answer, pattern(314159))?;
        expect_initial(&metadata)?;
        expect_trailing(&metadata)?;

        // And so of a failure. Without initial metadata there is but one block.
        for asks_for_initial in [true, false] {
            let mut failing = Request::new(Bytes::from("10\nas asked"));
            failing.metadata_mut().clone_from(&all);
            failing.set_timeout(PATIENCE);
            if !asks_for_initial {
                failing.metadata_mut().remove(ECHO_INITIAL);
            }
            let failure = self.call("Fail", failing).await;
            if let Err(status) = &failure {
                expect_trailing(status.metadata())?;
                if asks_for_initial {
                    expect_initial(status.metadata())?;
                }
            }
            expect_failure(failure, Code::Aborted, Some("as asked"))?;
        }

        let mut stream = self.open("PingPong", PATIENCE, all).await?;
        stream.send(ask(&[314159], 271828));
        expect("answer", stream.read().await?, Some(pattern(314159)))?;
        stream.half_close();
        expect("end", stream.read().await?, None::<Bytes>)?;
        expect_initial(&stream.initial)?;
        expect_trailing(&stream.answers.trailers().await?.unwrap_or_default())
    }

    async fn unimplemented_method(self) -> Outcome {
        expect_failure(self.unary("Unknown", "").await, Code::Unimplemented, None)
    }

    async fn unimplemented_service(self) -> Outcome {
        expect_failure(self.unary("/barid.interop.Nothing/Empty", "").await, Code::Unimplemented, None)
    }

    async fn compressed_is_refused(self) -> Outcome {
        let asked = ask(&[10], 1000);
        let mut compressing = self.grpc().await?.send_compressed(CompressionEncoding::Gzip);
        let answer = compressing.unary(request(asked.clone()), path("Answer"), AsIs).await;
        if let Err(refusal) = &answer {
            // tonic shows all headers of a refusal.
            let accepted = refusal.metadata().get("grpc-accept-encoding").map(|value| value.as_bytes());
            expect("grpc-accept-encoding", accepted, Some(&b"identity"[..]))?;
        }
        expect_failure(answer, Code::Unimplemented, Some("grpc-encoding is gzip, only identity is supported"))?;
        expect("answer without", self.unary("Answer", asked).await?, pattern(10))
    }
}

fn expect_initial(metadata: &MetadataMap) -> Outcome {
    let found: Vec<_> = metadata.get_all(ECHO_INITIAL).iter().map(|value| value.as_bytes()).collect();
    expect("initial metadata", found, [INITIAL.as_bytes()])
}

fn expect_trailing(metadata: &MetadataMap) -> Outcome {
    let found: Result<Vec<_>, _> = metadata.get_all_bin(ECHO_TRAILING).iter().map(|value| value.to_bytes()).collect();
    expect("trailing metadata", found?, [TRAILING])
}

/// A name for a stream, and the metadata that say it.
fn named() -> (String, MetadataMap) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let name = format!("rust-{}-{since}", std::process::id());
    let mut metadata = MetadataMap::new();
    metadata.insert("interop-call", name.parse().expect("ASCII"));
    (name, metadata)
}

async fn run(name: &str, case: impl Future<Output = Outcome>) {
    let detail = case.await.err().map_or(String::new(), |error| error.to_string());
    println!("{}", json!({"case": name, "passed": detail.is_empty(), "detail": detail}));
}

fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|word| word != name).nth(1)
}

#[tokio::main]
async fn main() -> Outcome {
    let endpoint = option("--endpoint").ok_or("--endpoint is missing")?;
    let channel = match option("--certificate") {
        None => Endpoint::new(format!("http://{endpoint}"))?.connect().await?,
        Some(file) => {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(std::fs::read(file)?));
            Endpoint::new(format!("https://{endpoint}"))?.tls_config(tls)?.connect().await?
        }
    };
    let client = Client(channel);
    macro_rules! run_all {
        ($($case:ident)*) => { $(run(stringify!($case), client.clone().$case()).await;)* };
    }
    run_all!(empty_unary large_unary client_streaming server_streaming ping_pong empty_stream
             cancel_after_begin cancel_after_first_response timeout_on_sleeping_server deadline_is_told
             status_code_and_message special_status_message custom_metadata unimplemented_method
             unimplemented_service compressed_is_refused);
    Ok(())
}
