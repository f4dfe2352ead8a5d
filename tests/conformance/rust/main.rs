//! The official Rust client of RocketMQ 5, one scenario per run.
//!
//! The command line and the events on stdout are the same in every language:
//! ../README.md describes them. Nothing here judges; driver.py does.
//!
//! Release 5.0.0 has no push consumer and cannot change the invisible time, so
//! here a message is failed by not acknowledging it.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rocketmq::conf::{ClientOption, ProducerOption, SimpleConsumerOption};
use rocketmq::error::ClientError;
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::{Message, MessageBuilder, MessageView};
use rocketmq::model::transaction::{Transaction, TransactionResolution};
use rocketmq::{Producer, SimpleConsumer};
use serde_json::{json, Value};
use tokio::sync::Notify;
use tokio::time::sleep;

const SENDS_IN_FLIGHT: usize = 16;
const BATCH: i32 = 32;
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
const LARGE_BODY_BYTES: usize = MAX_BODY_BYTES - 4096; // This client takes no answer of more than 4 MiB.
const BYTES: &str = "bytes"; // The tag of messages whose body is no text.
const MESSAGE_GROUPS: usize = 4;
const MEMBERS: [&str; 2] = ["a", "b"];
const MIXED_BATCH: usize = 4;
const ACKNOWLEDGEMENTS: usize = 5; // Tries, of a message over connections that end.

static SENDING: AtomicBool = AtomicBool::new(true);
static STARTED: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();

fn emit(event: &str, fields: Value) {
    let mut line = json!({"event": event, "t": STARTED.get_or_init(Instant::now).elapsed().as_secs_f64()});
    for (name, value) in fields.as_object().into_iter().flatten() {
        line[name] = value.clone();
    }
    writeln!(std::io::stdout().lock(), "{line}").expect("stdout is gone");
}

/// The code's name stands only in the error's context, so it travels inside the message.
fn describe(error: &ClientError) -> Value {
    json!({"type": format!("{:?}", error.kind()), "code": null, "message": error.to_string()})
}

fn with(mut fields: Value, name: &str, value: Value) -> Value {
    fields[name] = value;
    fields
}

/// Ends the process; closing the clients would wait for their long polls.
fn fail(doing: &str, error: &ClientError) -> ! {
    emit("error", with(describe(error), "doing", json!(doing)));
    exit(1)
}

trait OrFail<T> {
    fn or_fail(self, doing: &str) -> T;
}

impl<T> OrFail<T> for Result<T, ClientError> {
    fn or_fail(self, doing: &str) -> T {
        self.unwrap_or_else(|error| fail(doing, &error))
    }
}

/// How often each body was seen; wakes whoever waits for the last one.
#[derive(Default)]
struct Tally {
    times: Mutex<HashMap<String, usize>>,
    changed: Notify,
}

impl Tally {
    fn add(&self, body: &str) -> usize {
        let mut times = self.times.lock().unwrap();
        let seen = times.entry(body.to_string()).or_insert(0);
        *seen += 1;
        self.changed.notify_one();
        *seen
    }

    fn complete(&self, bodies: usize, times: usize) -> bool {
        self.times.lock().unwrap().values().filter(|seen| **seen >= times).count() >= bodies
    }

    async fn wait_for(&self, bodies: &[String]) {
        while !bodies.iter().all(|body| self.times.lock().unwrap().contains_key(body)) {
            self.changed.notified().await;
        }
    }

    async fn wait(&self, bodies: usize, times: usize) {
        while !self.complete(bodies, times) {
            self.changed.notified().await;
        }
    }
}

struct Options(HashMap<String, String>);

impl Options {
    fn parse(arguments: &[String]) -> Options {
        let pairs = arguments.chunks_exact(2).map(|pair| (pair[0].trim_start_matches("--").to_string(), pair[1].clone()));
        Options(pairs.collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or("")
    }

    fn number(&self, name: &str, otherwise: usize) -> usize {
        self.0.get(name).map_or(otherwise, |value| value.parse().expect(name))
    }

    fn seconds(&self, name: &str, otherwise: f64) -> Duration {
        Duration::from_secs_f64(self.0.get(name).map_or(otherwise, |value| value.parse().expect(name)))
    }

    fn count(&self) -> usize {
        self.number("count", 1)
    }

    fn topic(&self) -> String {
        self.text("topic").to_string()
    }

    fn filter(&self) -> FilterExpression {
        FilterExpression::new(FilterType::Tag, self.0.get("expression").map_or("*", String::as_str))
    }

    fn consumer_endpoint(&self) -> &str {
        self.0.get("consumer-endpoint").map_or(self.text("endpoint"), String::as_str)
    }
}

async fn start_producer(options: &Options) -> Arc<Producer> {
    let mut client = ClientOption::default();
    client.set_access_url(options.text("endpoint"));
    let mut option = ProducerOption::default();
    option.set_topics(vec![options.topic()]);
    let mut producer = Producer::new(option, client).or_fail("new producer");
    producer.start().await.or_fail("start producer");
    Arc::new(producer)
}

async fn try_start_simple(options: &Options, topic: &str, group: &str) -> Result<SimpleConsumer, ClientError> {
    let mut client = ClientOption::default();
    client.set_access_url(options.consumer_endpoint());
    client.set_long_polling_timeout(options.seconds("await", 5.0));
    let mut option = SimpleConsumerOption::default();
    option.set_consumer_group(group);
    option.set_topics(vec![topic]);
    let mut consumer = SimpleConsumer::new(option, client)?;
    consumer.start().await?;
    Ok(consumer)
}

async fn start_simple(options: &Options, topic: &str, group: &str) -> Arc<SimpleConsumer> {
    Arc::new(try_start_simple(options, topic, group).await.or_fail("start simple consumer"))
}

fn body_of(message: &MessageView) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

fn received(message: &MessageView) -> Value {
    json!({"via": "simple", "id": message.message_id(), "body": body_of(message), "attempt": message.delivery_attempt()})
}

fn message_with(topic: &str, body: &str, tag: Option<&str>) -> impl Message {
    let builder = MessageBuilder::builder().set_topic(topic).set_body(body.as_bytes().to_vec());
    let builder = match tag {
        // Its number, for filters that look at properties.
        Some(tag) => builder.set_tag(tag).set_properties(HashMap::from([("number", body.rsplit('-').next().unwrap())])),
        None => builder,
    };
    builder.build().or_fail("build message")
}

async fn send(producer: &Producer, message: impl Message, body: &str, tag: Option<&str>) -> Result<(), ClientError> {
    let receipt = producer.send(message).await?;
    emit("sent", json!({"id": receipt.message_id(), "body": body, "tag": tag}));
    Ok(())
}

async fn send_all(options: &Arc<Options>, producer: Arc<Producer>, tags: &'static [&'static str]) {
    let next = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..SENDS_IN_FLIGHT)
        .map(|_| {
            let (options, producer, next) = (options.clone(), producer.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= options.count() {
                        return;
                    }
                    let body = format!("{}-{index}", options.text("run"));
                    let tag = (!tags.is_empty()).then(|| tags[index % tags.len()]);
                    let message = message_with(options.text("topic"), &body, tag);
                    send(&producer, message, &body, tag).await.or_fail("send");
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("a sender panicked");
    }
}

/// What becomes of a message once it is printed.
enum Verdict {
    Acknowledge,
    LeaveAlone,
}

/// Receives several times side by side, because each receive asks only one broker of the route.
fn receive_forever(
    options: &Arc<Options>,
    consumer: Arc<SimpleConsumer>,
    judge: impl Fn(&MessageView) -> Verdict + Send + Sync + 'static,
    acked: Arc<Tally>,
) {
    receive_batches_forever(options, consumer, options.filter(), BATCH, judge, acked);
}

fn receive_batches_forever(
    options: &Arc<Options>,
    consumer: Arc<SimpleConsumer>,
    filter: FilterExpression,
    batch: i32,
    judge: impl Fn(&MessageView) -> Verdict + Send + Sync + 'static,
    acked: Arc<Tally>,
) {
    let (filter, judge) = (Arc::new(filter), Arc::new(judge));
    for _ in 0..options.number("receivers", 1) {
        let (options, consumer, judge, acked) = (options.clone(), consumer.clone(), judge.clone(), acked.clone());
        let filter = filter.clone();
        tokio::spawn(async move {
            loop {
                let messages = consumer
                    .receive_with(options.topic(), &filter, batch, options.seconds("invisible", 10.0))
                    .await
                    .or_fail("receive");
                for message in messages {
                    let body = body_of(&message);
                    if let Verdict::Acknowledge = judge(&message) {
                        consumer.ack(&message).await.or_fail("ack");
                        if message.tag() != Some(BYTES) {
                            emit("acked", json!({"body": body}));
                        }
                        acked.add(&body);
                    }
                }
            }
        });
    }
}

/// There is no push consumer: the simple one stands in, as README.md says.
async fn normal(options: Arc<Options>) {
    let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
    let acked = Arc::new(Tally::default());
    let print_and_acknowledge = |message: &MessageView| {
        emit("received", received(message));
        Verdict::Acknowledge
    };
    receive_forever(&options, consumer, print_and_acknowledge, acked.clone());
    send_all(&options, start_producer(&options).await, &[]).await;
    acked.wait(options.count(), 1).await;
}

async fn simple(options: Arc<Options>) {
    send_all(&options, start_producer(&options).await, &[]).await;
    let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
    let acked = Arc::new(Tally::default());
    let seen = Tally::default();
    let held = format!("{}-0", options.text("run"));
    let judge = move |message: &MessageView| {
        emit("received", received(message));
        let body = body_of(message);
        if seen.add(&body) == 1 && body == held {
            Verdict::LeaveAlone // It must come back after its invisible time.
        } else {
            Verdict::Acknowledge
        }
    };
    receive_forever(&options, consumer, judge, acked.clone());
    acked.wait(options.count(), 1).await;
}

async fn tags(options: Arc<Options>) {
    send_all(&options, start_producer(&options).await, &["c", "a", "b"]).await;
    let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
    let acked = Arc::new(Tally::default());
    let print_and_acknowledge = |message: &MessageView| {
        emit("received", with(received(message), "tag", json!(message.tag())));
        Verdict::Acknowledge
    };
    receive_forever(&options, consumer, print_and_acknowledge, acked.clone());
    acked.wait(options.count() * 2 / 3, 1).await;

    let consumer = start_simple(&options, &options.topic(), options.text("simple-group")).await;
    let sql = FilterExpression::new(FilterType::Sql, options.text("sql"));
    let by_sql = Arc::new(Tally::default());
    let print_and_acknowledge = |message: &MessageView| {
        emit("received", with(with(received(message), "tag", json!(message.tag())), "via", json!("sql")));
        Verdict::Acknowledge
    };
    receive_batches_forever(&options, consumer, sql, BATCH, print_and_acknowledge, by_sql.clone());
    by_sql.wait(options.number("sql-count", 0), 1).await;
}

async fn retry(options: Arc<Options>) {
    let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
    let acked = Arc::new(Tally::default());
    let seen = Tally::default();
    let judge = move |message: &MessageView| {
        emit("received", received(message));
        if seen.add(&body_of(message)) >= 3 {
            Verdict::Acknowledge
        } else {
            Verdict::LeaveAlone
        }
    };
    receive_forever(&options, consumer, judge, acked.clone());
    send_all(&options, start_producer(&options).await, &[]).await;
    acked.wait(options.count(), 1).await;
}

async fn dlq(options: Arc<Options>) {
    let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
    let bodies = Arc::new(Tally::default());
    let seen = bodies.clone();
    let judge = move |message: &MessageView| {
        emit("received", received(message));
        seen.add(&body_of(message));
        Verdict::LeaveAlone
    };
    receive_forever(&options, consumer, judge, Arc::new(Tally::default()));
    send_all(&options, start_producer(&options).await, &[]).await;
    bodies.wait(options.count(), 3).await;

    let topic = format!("%DLQ%{}", options.text("group"));
    let dead = Tally::default();
    while !dead.complete(options.count(), 1) {
        if let Err(error) = read_dead_letters(&options, &topic, &dead).await {
            emit("waiting", describe(&error)); // The topic appears with its first message.
            sleep(Duration::from_millis(500)).await;
        }
    }
}

async fn read_dead_letters(options: &Options, topic: &str, dead: &Tally) -> Result<(), ClientError> {
    let consumer = try_start_simple(options, topic, options.text("dead-group")).await?;
    while !dead.complete(options.count(), 1) {
        let invisible = options.seconds("invisible", 10.0);
        for message in consumer.receive_with(topic, &options.filter(), BATCH, invisible).await? {
            emit("dead", json!({"id": message.message_id(), "body": body_of(&message)}));
            consumer.ack(&message).await?;
            dead.add(&body_of(&message));
        }
    }
    Ok(())
}

async fn delay(options: Arc<Options>) {
    let wall = || SystemTime::now().duration_since(UNIX_EPOCH).expect("before 1970");
    let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
    let acked = Arc::new(Tally::default());
    let judge = move |message: &MessageView| {
        emit("received", with(received(message), "wall", json!(wall().as_secs_f64())));
        Verdict::Acknowledge
    };
    receive_forever(&options, consumer, judge, acked.clone());
    let producer = start_producer(&options).await;
    for index in 0..options.count() {
        let body = format!("{}-{index}", options.text("run"));
        let due = wall().as_secs() as i64 + 1 + options.number("delay", 3) as i64; // It knows whole seconds only.
        emit("scheduled", json!({"body": body, "due": due}));
        let message = MessageBuilder::delay_message_builder(options.topic(), body.as_bytes().to_vec(), due)
            .build()
            .or_fail("build message");
        send(&producer, message, &body, None).await.or_fail("send");
    }
    acked.wait(options.count(), 1).await;
}

/// Its checker answers by the message's number; it knows nothing of message 4 when it is asked first.
async fn start_transaction_producer(options: &Options) -> Producer {
    let mut client = ClientOption::default();
    client.set_access_url(options.text("endpoint"));
    let mut option = ProducerOption::default();
    option.set_topics(vec![options.topic()]);
    let run = options.text("run").to_string();
    let asked = AtomicUsize::new(0);
    let check = move |_id: String, message: MessageView| {
        let body = String::from_utf8_lossy(message.body()).to_string();
        let (answer, resolution) = if body == format!("{run}-4") && asked.fetch_add(1, Ordering::SeqCst) == 0 {
            ("unknown", TransactionResolution::UNKNOWN)
        } else if body == format!("{run}-3") {
            ("rollback", TransactionResolution::ROLLBACK)
        } else {
            ("commit", TransactionResolution::COMMIT)
        };
        emit("checked", json!({"id": message.message_id(), "body": body, "answer": answer}));
        resolution
    };
    let mut producer = Producer::new_transaction_producer(option, client, Box::new(check)).or_fail("new producer");
    producer.start().await.or_fail("start producer");
    producer
}

async fn prepare<'p>(options: &Options, producer: &'p Producer, index: usize) -> impl Transaction + 'p {
    let body = format!("{}-{index}", options.text("run"));
    let message = MessageBuilder::transaction_message_builder(options.topic(), body.as_bytes().to_vec())
        .build()
        .or_fail("build message");
    let opened = producer.send_transaction_message(message).await.or_fail("prepare");
    emit("prepared", json!({"id": opened.message_id(), "body": body}));
    opened
}

async fn transaction(options: Arc<Options>) {
    let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
    let acked = Arc::new(Tally::default());
    let judge = |message: &MessageView| {
        emit("received", received(message));
        Verdict::Acknowledge
    };
    receive_forever(&options, consumer, judge, acked.clone());
    let goes = start_transaction_producer(&options).await;
    drop(prepare(&options, &goes, 5).await);
    goes.shutdown().await.or_fail("stop producer");
    let stays = start_transaction_producer(&options).await;
    let ended = |index: usize, how: &str| emit("ended", json!({"body": format!("{}-{index}", options.text("run")), "how": how}));
    prepare(&options, &stays, 0).await.commit().await.or_fail("commit");
    ended(0, "commit");
    prepare(&options, &stays, 1).await.rollback().await.or_fail("rollback");
    ended(1, "rollback");
    for index in 2..5 {
        drop(prepare(&options, &stays, index).await);
    }
    acked.wait(4, 1).await;
    sleep(Duration::from_secs(1)).await; // What must not arrive would be here by now.
}

async fn fifo(options: Arc<Options>) {
    let producer = start_producer(&options).await;
    for index in 0..options.count() {
        let body = format!("{}-{index}", options.text("run"));
        let message_group = format!("g{}", index % MESSAGE_GROUPS);
        let message = MessageBuilder::fifo_message_builder(options.topic(), body.as_bytes().to_vec(), message_group)
            .build()
            .or_fail("build message");
        send(&producer, message, &body, None).await.or_fail("send");
    }
    let consumer = start_simple(&options, &options.topic(), options.text("simple-group")).await;
    let acked = Arc::new(Tally::default());
    let seen = Tally::default();
    // The second message of the first message group fails once.
    let failing = format!("{}-{MESSAGE_GROUPS}", options.text("run"));
    let judge = move |message: &MessageView| {
        emit("received", received(message));
        let body = body_of(message);
        if seen.add(&body) == 1 && body == failing {
            emit("failed", json!({"via": "simple", "body": body}));
            return Verdict::LeaveAlone;
        }
        emit("consumed", json!({"via": "simple", "body": body}));
        Verdict::Acknowledge
    };
    receive_batches_forever(&options, consumer, options.filter(), 1, judge, acked.clone());
    acked.wait(options.count(), 1).await;
}

async fn wrong_type(options: Arc<Options>) {
    let producer = start_producer(&options).await;
    let message_to = |topic: &str, body: &str, message_group: Option<&str>| {
        let body = format!("{}-{body}", options.text("run")).into_bytes();
        let builder = match message_group {
            Some(message_group) => MessageBuilder::fifo_message_builder(topic, body, message_group),
            None => MessageBuilder::builder().set_topic(topic).set_body(body),
        };
        builder.build().or_fail("build message")
    };
    let (normal, fifo) = (options.text("topic"), options.text("fifo-topic"));
    for (case, topic, message_group) in [("fifo-to-normal", normal, Some("g0")), ("normal-to-fifo", fifo, None)] {
        match producer.send(message_to(topic, case, message_group)).await {
            Ok(_) => emit("accepted", json!({"case": case})),
            Err(error) => emit("refused", with(describe(&error), "case", json!(case))),
        }
    }
    for (topic, body, message_group) in [(normal, "normal", None), (fifo, "fifo", Some("g0"))] {
        let message = message_to(topic, body, message_group);
        send(&producer, message, &format!("{}-{body}", options.text("run")), None).await.or_fail("send");
    }
}

/// Two members, each with a group of its own: they hear what is told to all, and each asks and is answered.
async fn members(options: Arc<Options>) {
    let reply_topic = options.text("reply-topic").to_string();
    let (heard, replied) = (Arc::new(Tally::default()), Arc::new(Tally::default()));
    for name in MEMBERS {
        let mut client = ClientOption::default();
        client.set_access_url(options.consumer_endpoint());
        client.set_long_polling_timeout(options.seconds("await", 5.0));
        let mut option = SimpleConsumerOption::default();
        option.set_consumer_group(format!("%MEMBER%{}-{name}", options.text("run")));
        option.set_topics(vec![options.topic(), reply_topic.clone()]);
        let mut consumer = SimpleConsumer::new(option, client).or_fail("new simple consumer");
        consumer.start().await.or_fail("start simple consumer");
        let consumer = Arc::new(consumer);
        for (topic, tag, tally) in [(options.topic(), "news", heard.clone()), (reply_topic.clone(), name, replied.clone())] {
            let judge = move |message: &MessageView| {
                let event = json!({"member": name, "id": message.message_id(), "body": body_of(message)});
                match message.properties().get("correlation_id") {
                    Some(id) => emit("replied", with(event, "correlation", json!(id))),
                    None => emit("heard", event),
                }
                tally.add(&format!("{name}{}", body_of(message)));
            };
            receive_topic_forever(&options, consumer.clone(), topic, FilterExpression::new(FilterType::Tag, tag), judge);
        }
    }
    let producer = start_producer(&options).await;
    answer_forever(options.clone(), producer.clone());
    for index in 0..options.count() {
        let news = format!("{}-{index}", options.text("run"));
        send(&producer, message_with(options.text("topic"), &news, Some("news")), &news, Some("news")).await.or_fail("send");
        for name in MEMBERS {
            let body = format!("{}-{name}-{index}", options.text("run"));
            let correlation = format!("{name}-{index}");
            let properties =
                HashMap::from([("correlation_id", correlation.as_str()), ("reply_topic", reply_topic.as_str()), ("reply_tag", name)]);
            let request = MessageBuilder::builder()
                .set_topic(options.topic())
                .set_body(body.as_bytes().to_vec())
                .set_tag("ask")
                .set_properties(properties)
                .build()
                .or_fail("build message");
            send(&producer, request, &body, Some("ask")).await.or_fail("send");
        }
    }
    heard.wait(MEMBERS.len() * options.count(), 1).await;
    replied.wait(MEMBERS.len() * options.count(), 1).await;
}

/// As many receives side by side as there are shards to ask, or so; acknowledges everything.
fn receive_topic_forever(
    options: &Arc<Options>,
    consumer: Arc<SimpleConsumer>,
    topic: String,
    filter: FilterExpression,
    judge: impl Fn(&MessageView) + Send + Sync + 'static,
) {
    let (filter, judge) = (Arc::new(filter), Arc::new(judge));
    for _ in 0..options.number("receivers", 1) {
        let (options, consumer, topic) = (options.clone(), consumer.clone(), topic.clone());
        let (filter, judge) = (filter.clone(), judge.clone());
        tokio::spawn(async move {
            loop {
                let invisible = options.seconds("invisible", 10.0);
                for message in consumer.receive_with(topic.clone(), &filter, BATCH, invisible).await.or_fail("receive") {
                    judge(&message);
                    consumer.ack(&message).await.or_fail("ack");
                }
            }
        });
    }
}

fn answer_forever(options: Arc<Options>, producer: Arc<Producer>) {
    for _ in 0..options.number("receivers", 1) {
        let (options, producer) = (options.clone(), producer.clone());
        tokio::spawn(async move {
            let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
            let asked = FilterExpression::new(FilterType::Tag, "ask");
            loop {
                let invisible = options.seconds("invisible", 10.0);
                for message in consumer.receive_with(options.topic(), &asked, BATCH, invisible).await.or_fail("receive") {
                    let property = |name: &str| message.properties().get(name).cloned().unwrap_or_default();
                    let correlation = property("correlation_id");
                    let reply = MessageBuilder::builder()
                        .set_topic(property("reply_topic"))
                        .set_body([b"re:".as_slice(), message.body()].concat())
                        .set_tag(property("reply_tag"))
                        .set_properties(HashMap::from([("correlation_id", correlation.as_str())]))
                        .build()
                        .or_fail("build message");
                    producer.send(reply).await.or_fail("answer");
                    consumer.ack(&message).await.or_fail("ack");
                }
            }
        });
    }
}

async fn props(options: Arc<Options>) {
    let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
    let acked = Arc::new(Tally::default());
    let judge = |message: &MessageView| {
        if message.tag() == Some(BYTES) {
            emit("received-bytes", with(outline(message.body()), "id", json!(message.message_id())));
            return Verdict::Acknowledge;
        }
        let mut keys = message.keys().to_vec();
        keys.sort();
        let event = with(received(message), "tag", json!(message.tag()));
        emit("received", with(with(event, "keys", json!(keys)), "properties", json!(message.properties())));
        Verdict::Acknowledge
    };
    receive_forever(&options, consumer, judge, acked.clone());
    let properties: HashMap<&str, &str> =
        options.text("properties").split(',').filter_map(|pair| pair.split_once('=')).collect();
    let message = MessageBuilder::builder()
        .set_topic(options.topic())
        .set_body(options.text("body").as_bytes().to_vec())
        .set_tag(options.text("tag"))
        .set_keys(options.text("keys").split(',').collect())
        .set_properties(properties)
        .build()
        .or_fail("build message");
    let producer = start_producer(&options).await;
    send(&producer, message, options.text("body"), Some(options.text("tag"))).await.or_fail("send");

    let every: Vec<u8> = (0..=255).collect();
    let batches = [("batch", vec![every, vec![0]]), ("async", vec![vec![b'x'; LARGE_BODY_BYTES]])];
    for (how, bodies) in &batches {
        let messages: Vec<_> = bodies.iter().map(|body| bytes_message(&options, body)).collect();
        let receipts = producer.batch_send(messages).await.or_fail("send a batch");
        for (body, receipt) in bodies.iter().zip(receipts) {
            emit("sent-bytes", with(with(outline(body), "id", json!(receipt.message_id())), "how", json!(how)));
        }
    }
    acked.wait(4, 1).await;
}

fn bytes_message(options: &Options, body: &[u8]) -> impl Message {
    MessageBuilder::builder().set_topic(options.topic()).set_tag(BYTES).set_body(body.to_vec()).build().or_fail("build message")
}

/// Its length and its Adler-32.
fn outline(body: &[u8]) -> Value {
    let (a, b) = body.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    json!({"bytes": body.len(), "adler32": b << 16 | a})
}

async fn errors(options: Arc<Options>) {
    let producer = start_producer(&options).await;
    let cases = [
        ("illegal-topic", "bad.topic".to_string(), 1),
        ("oversize-body", options.topic(), MAX_BODY_BYTES + 1),
        ("unknown-topic", format!("{}-unknown", options.topic()), 1),
        ("long-topic", "x".repeat(128), 1),
        ("empty-body", options.topic(), 0),
        ("illegal-tag", options.topic(), 1),
    ];
    for (case, topic, body_bytes) in cases {
        let builder = MessageBuilder::builder().set_topic(topic).set_body(vec![b'x'; body_bytes]);
        let builder = if case == "illegal-tag" { builder.set_tag("a|b") } else { builder };
        let sent = match builder.build() {
            Ok(message) => producer.send(message).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(_) => emit("accepted", json!({"case": case})),
            Err(error) => emit("refused", with(describe(&error), "case", json!(case))),
        }
    }

    // A consumer ends while it polls. What is sent afterwards must not go to it.
    let ending = start_simple(&options, &options.topic(), options.text("group")).await;
    let (polled, polling) = (options.clone(), ending.clone());
    let poll = tokio::spawn(async move {
        let invisible = polled.seconds("invisible", 10.0);
        let _ = polling.receive_with(polled.topic(), &polled.filter(), 1, invisible).await;
    });
    sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    poll.abort();
    let _ = poll.await;
    Arc::into_inner(ending).expect("the poll is gone").shutdown().await.or_fail("close");
    emit("closed", json!({"seconds": began.elapsed().as_secs_f64()}));
    let after = format!("{}-after", options.text("run"));
    send(&producer, message_with(options.text("topic"), &after, None), &after, None).await.or_fail("send");
    let consumer = start_simple(&options, &options.topic(), options.text("group")).await;
    let acked = Arc::new(Tally::default());
    let print_and_acknowledge = |message: &MessageView| {
        emit("received", received(message));
        Verdict::Acknowledge
    };
    receive_forever(&options, consumer, print_and_acknowledge, acked.clone());
    acked.wait(1, 1).await;
}

/// Sends for a while over connections that end. This client repeats nothing, so what fails is said, and then it goes on.
async fn goaway(options: Arc<Options>) {
    let consumer = start_simple(&options, &options.topic(), options.text("simple-group")).await;
    let producer = start_producer(&options).await;
    let acked = Arc::new(Tally::default());
    for _ in 0..options.number("receivers", 1) {
        let (options, consumer, acked) = (options.clone(), consumer.clone(), acked.clone());
        tokio::spawn(async move {
            loop {
                if let Err(error) = receive_and_count(&options, &consumer, &acked).await {
                    emit("receive-failed", describe(&error));
                    sleep(Duration::from_millis(200)).await;
                }
            }
        });
    }
    let mut sent = Vec::new();
    for index in 0..options.count() {
        let body = format!("{}-{index}", options.text("run"));
        match send(&producer, message_with(options.text("topic"), &body, None), &body, None).await {
            Ok(()) => sent.push(body),
            Err(error) => emit("send-failed", with(describe(&error), "body", json!(body))),
        }
        sleep(options.seconds("pause", 0.02)).await;
    }
    acked.wait_for(&sent).await;
}

/// An acknowledgement right behind a long poll finds the connection that was told to go meanwhile, each time anew: it has to be repeated.
async fn receive_and_count(options: &Options, consumer: &SimpleConsumer, acked: &Tally) -> Result<(), ClientError> {
    let invisible = options.seconds("invisible", 10.0);
    for message in consumer.receive_with(options.topic(), &options.filter(), BATCH, invisible).await? {
        emit("received", received(&message));
        for _ in 0..ACKNOWLEDGEMENTS {
            match consumer.ack(&message).await {
                Ok(()) => {
                    acked.add(&body_of(&message));
                    break;
                }
                Err(error) => emit("ack-failed", with(describe(&error), "body", json!(body_of(&message)))),
            }
        }
    }
    Ok(())
}

/// Of the mixed load its part is what only this client does: several messages in one call. The others receive them.
async fn mixed(options: Arc<Options>) {
    let mut client = ClientOption::default();
    client.set_access_url(options.text("endpoint"));
    let mut option = ProducerOption::default();
    let topic = format!("{}-batch", options.text("topic"));
    option.set_topics(vec![topic.clone()]);
    let mut producer = Producer::new(option, client).or_fail("new producer");
    producer.start().await.or_fail("start producer");
    let mut index = 0;
    while SENDING.load(Ordering::Relaxed) {
        let bodies: Vec<_> = (index..index + MIXED_BATCH).map(|index| format!("batch-{}-{index}", options.text("run"))).collect();
        let messages = bodies.iter().map(|body| message_with(&topic, body, None)).collect();
        match producer.batch_send(messages).await {
            Ok(receipts) => {
                for (body, receipt) in bodies.iter().zip(receipts) {
                    emit("sent", json!({"id": receipt.message_id(), "body": body}));
                }
            }
            Err(error) => emit("send-failed", with(describe(&error), "body", json!(bodies[0]))),
        }
        index += MIXED_BATCH;
        sleep(options.seconds("pause", 0.02)).await;
    }
    emit("stopped", json!({}));
    std::future::pending::<()>().await; // Until stdin closes.
}

async fn crash_loop(options: Arc<Options>) {
    let consumer = start_simple(&options, &options.topic(), options.text("simple-group")).await;
    let producer = start_producer(&options).await;
    for _ in 0..options.number("receivers", 1) {
        let (options, consumer) = (options.clone(), consumer.clone());
        tokio::spawn(async move {
            loop {
                if let Err(error) = receive_once(&options, &consumer).await {
                    emit("receive-failed", describe(&error));
                    sleep(Duration::from_millis(200)).await;
                }
            }
        });
    }

    let mut index = 0;
    while SENDING.load(Ordering::Relaxed) {
        let body = format!("{}-{index}", options.text("run"));
        let message = message_with(options.text("topic"), &body, None);
        if let Err(error) = send(&producer, message, &body, None).await {
            emit("send-failed", with(describe(&error), "body", json!(body)));
        }
        index += 1;
        sleep(options.seconds("pause", 0.02)).await;
    }
    emit("stopped", json!({"sends": index}));
    std::future::pending::<()>().await; // Keep consuming until stdin closes.
}

async fn receive_once(options: &Options, consumer: &SimpleConsumer) -> Result<(), ClientError> {
    let invisible = options.seconds("invisible", 10.0);
    for message in consumer.receive_with(options.topic(), &options.filter(), BATCH, invisible).await? {
        emit("received", received(&message));
        consumer.ack(&message).await?;
    }
    Ok(())
}

fn obey_stdin() {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if line.trim() == "stop" {
            SENDING.store(false, Ordering::Relaxed);
        }
    }
    exit(0) // The driver is gone, or has seen enough.
}

#[tokio::main]
async fn main() {
    STARTED.get_or_init(Instant::now);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scenario = arguments.first().map(String::as_str).unwrap_or("").to_string();
    let options = Arc::new(Options::parse(arguments.get(1..).unwrap_or(&[])));
    std::thread::spawn(obey_stdin);
    match scenario.as_str() {
        "normal-push" => normal(options).await,
        "simple" => simple(options).await,
        "tags" => tags(options).await,
        "retry" => retry(options).await,
        "dlq" => dlq(options).await,
        "delay" => delay(options).await,
        "transaction" => transaction(options).await,
        "fifo" => fifo(options).await,
        "members" => members(options).await,
        "props" => props(options).await,
        "errors" => errors(options).await,
        "wrong-type" => wrong_type(options).await,
        "goaway" => goaway(options).await,
        "loop" => crash_loop(options).await,
        "mixed" => mixed(options).await,
        _ => {
            eprintln!("the first argument is a scenario; see README.md");
            exit(2)
        }
    }
    emit("done", json!({}));
    exit(0)
}
