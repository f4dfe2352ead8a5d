import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.Adler32;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.LitePushConsumer;
import org.apache.rocketmq.client.apis.consumer.OffsetOption;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionChecker;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

/**
 * The official Java client of RocketMQ 5, one scenario per run.
 *
 * <p>The command line and the events on stdout are the same in every language: ../README.md
 * describes them. Nothing here judges; driver.py does.
 */
public final class Conformance {
  private static final long STARTED = System.nanoTime();
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
  private static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();

  private static final int SENDS_IN_FLIGHT = 16;
  private static final int BATCH = 32;
  private static final int MAX_BODY_BYTES = 4 * 1024 * 1024;
  private static final int LARGE_BODY_BYTES = MAX_BODY_BYTES - 4096; // An answer with it stays below 4 MiB.
  private static final String BYTES = "bytes"; // The tag of messages whose body is no text.
  private static final int MESSAGE_GROUPS = 4;
  private static final int PRIORITY_BATCH = 2;
  private static final String[] MEMBERS = {"a", "b"};
  private static final String[] LITE_TOPICS = {"a", "b", "c", "d"};
  private static final int LITE_EVERY = 10; // Sends of `loop`.

  private static volatile boolean sending = true;

  interface Scenario {
    void run() throws Exception;
  }

  interface Settle {
    void settle(MessageView message) throws Exception;
  }

  // Events.

  /** Names and values alternate. */
  private static Map<String, Object> fields(Object... namesAndValues) {
    Map<String, Object> fields = new LinkedHashMap<>();
    for (int i = 0; i < namesAndValues.length; i += 2) {
      fields.put((String) namesAndValues[i], namesAndValues[i + 1]);
    }
    return fields;
  }

  private static void emit(String event, Map<String, Object> more) {
    Map<String, Object> line = fields("event", event, "t", (System.nanoTime() - STARTED) / 1e9);
    line.putAll(more);
    OUT.println(json(line));
  }

  private static Map<String, Object> describe(Throwable error) {
    // Starting fails with a bare IllegalStateException; the reason is the innermost cause.
    Throwable cause = error;
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    Matcher code = Pattern.compile("response-code=(\\d+)").matcher(String.valueOf(cause.getMessage()));
    return fields("type", cause.getClass().getSimpleName(), "code",
        code.find() ? Integer.valueOf(code.group(1)) : null, "message", String.valueOf(cause.getMessage()));
  }

  private static Map<String, Object> with(Map<String, Object> fields, String name, Object value) {
    fields.put(name, value);
    return fields;
  }

  private static String json(Object value) {
    if (value instanceof Map) {
      StringBuilder text = new StringBuilder("{");
      ((Map<?, ?>) value).forEach((name, member) ->
          text.append(text.length() > 1 ? "," : "").append(json(name)).append(":").append(json(member)));
      return text.append("}").toString();
    }
    if (value instanceof Collection) {
      StringBuilder text = new StringBuilder("[");
      ((Collection<?>) value).forEach(member -> text.append(text.length() > 1 ? "," : "").append(json(member)));
      return text.append("]").toString();
    }
    if (value == null || value instanceof Number) {
      return String.valueOf(value);
    }
    StringBuilder text = new StringBuilder("\"");
    for (char c : String.valueOf(value).toCharArray()) {
      if (c == '"' || c == '\\') {
        text.append('\\').append(c);
      } else if (c < ' ') {
        text.append(String.format("\\u%04x", (int) c));
      } else {
        text.append(c);
      }
    }
    return text.append("\"").toString();
  }

  private static void fail(String doing, Throwable error) {
    emit("error", with(describe(error), "doing", doing));
    leave(1);
  }

  /** Ends at once: closing the clients would wait for their long polls. */
  private static void leave(int status) {
    OUT.flush();
    Runtime.getRuntime().halt(status);
  }

  /** How often each body was seen; wakes whoever waits for the last one. */
  private static final class Tally {
    private final Map<String, Integer> times = new HashMap<>();

    synchronized int add(String body) {
      notifyAll();
      return times.merge(body, 1, Integer::sum);
    }

    synchronized boolean complete(int bodies, int times) {
      return this.times.values().stream().filter(seen -> seen >= times).count() >= bodies;
    }

    synchronized void await(int bodies, int times) throws InterruptedException {
      while (!complete(bodies, times)) {
        wait();
      }
    }
  }

  // The command line.

  private final Map<String, String> options = new HashMap<>();

  private Conformance(String[] arguments) {
    for (int i = 1; i + 1 < arguments.length; i += 2) {
      options.put(arguments[i].substring("--".length()), arguments[i + 1]);
    }
  }

  private String text(String name, String otherwise) {
    return options.getOrDefault(name, otherwise);
  }

  private String text(String name) {
    if (!options.containsKey(name)) {
      throw new IllegalArgumentException("--" + name + " is missing");
    }
    return options.get(name);
  }

  private int number(String name, int otherwise) {
    return Integer.parseInt(text(name, String.valueOf(otherwise)));
  }

  private Duration seconds(String name, double otherwise) {
    return Duration.ofMillis((long) (1000 * Double.parseDouble(text(name, String.valueOf(otherwise)))));
  }

  private int count() {
    return number("count", 1);
  }

  // The client.

  private static ClientConfiguration configuration(String endpoint) {
    boolean tls = "on".equals(System.getenv("CONFORMANCE_TLS")); // The default of this client.
    return ClientConfiguration.newBuilder().setEndpoints(endpoint).enableSsl(tls).build();
  }

  private ClientConfiguration consumerConfiguration() {
    return configuration(text("consumer-endpoint", text("endpoint")));
  }

  private Map<String, FilterExpression> filter(String topic) {
    return Collections.singletonMap(topic, new FilterExpression(text("expression", "*"), FilterExpressionType.TAG));
  }

  private Producer startProducer() throws Exception {
    return PROVIDER.newProducerBuilder().setClientConfiguration(configuration(text("endpoint")))
        .setTopics(text("topic")).build();
  }

  /** The predicate returns whether the message is done with. */
  private void startPush(Predicate<MessageView> consume) throws Exception {
    startPush(text("group"), filter(text("topic")), consume);
  }

  private void startPush(String group, Map<String, FilterExpression> filter, Predicate<MessageView> consume)
      throws Exception {
    PROVIDER.newPushConsumerBuilder().setClientConfiguration(consumerConfiguration())
        .setConsumerGroup(group).setSubscriptionExpressions(filter)
        .setMessageListener(message -> consume.test(message) ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE)
        .build();
  }

  private SimpleConsumer startSimple(String topic, String group) throws Exception {
    return PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(consumerConfiguration())
        .setConsumerGroup(group).setSubscriptionExpressions(filter(topic)).setAwaitDuration(seconds("await", 5))
        .build();
  }

  private static String bodyOf(MessageView message) {
    return StandardCharsets.UTF_8.decode(message.getBody()).toString();
  }

  private static Map<String, Object> received(MessageView message, String via) {
    return fields("via", via, "id", message.getMessageId().toString(), "body", bodyOf(message), "attempt",
        message.getDeliveryAttempt());
  }

  private static void send(Producer producer, Message message, String body) throws Exception {
    SendReceipt receipt = producer.send(message);
    emit("sent", fields("id", receipt.getMessageId().toString(), "body", body, "tag", message.getTag().orElse(null)));
  }

  private MessageBuilder messageWith(String body) {
    return PROVIDER.newMessageBuilder().setTopic(text("topic")).setBody(body.getBytes(StandardCharsets.UTF_8));
  }

  private void sendAll(Producer producer, String... tags) throws Exception {
    ExecutorService senders = Executors.newFixedThreadPool(SENDS_IN_FLIGHT);
    for (int i = 0; i < count(); i++) {
      int index = i;
      senders.execute(() -> {
        String body = text("run") + "-" + index;
        MessageBuilder builder = messageWith(body);
        if (tags.length > 0) {
          builder.setTag(tags[index % tags.length]).addProperty("number", String.valueOf(index));
        }
        try {
          send(producer, builder.build(), body);
        } catch (Throwable error) {
          fail("send", error);
        }
      });
    }
    senders.shutdown();
    senders.awaitTermination(1, TimeUnit.HOURS); // The driver's deadline comes first.
  }

  /** Receives several times side by side, because each receive asks only one broker of the route. */
  private void receiveUntil(SimpleConsumer consumer, int batch, BooleanSupplier finished, Settle settle) {
    for (int i = 0; i < number("receivers", 1); i++) {
      new Thread(() -> {
        while (!finished.getAsBoolean()) {
          try {
            List<MessageView> messages = consumer.receive(batch, seconds("invisible", 10));
            messages.forEach(message -> emit("received", received(message, "simple")));
            for (MessageView message : messages) {
              settle.settle(message);
            }
          } catch (Throwable error) {
            fail("receive or settle", error);
          }
        }
      }).start();
    }
  }

  // The scenarios.

  private void normalPush() throws Exception {
    Tally bodies = new Tally();
    startPush(message -> {
      emit("received", received(message, "push"));
      bodies.add(bodyOf(message));
      return true;
    });
    sendAll(startProducer());
    bodies.await(count(), 1);
  }

  private void simple() throws Exception {
    sendAll(startProducer());
    SimpleConsumer consumer = startSimple(text("topic"), text("group"));
    Tally seen = new Tally();
    Tally acked = new Tally();
    receiveUntil(consumer, BATCH, () -> acked.complete(count(), 1), message -> {
      String body = bodyOf(message);
      boolean firstTime = seen.add(body) == 1;
      if (firstTime && body.equals(text("run") + "-0")) {
        return; // Left alone: it must come back after its invisible time.
      }
      if (firstTime && body.equals(text("run") + "-1")) {
        consumer.changeInvisibleDuration(message, seconds("change", 5));
        emit("changed", fields("body", body));
        return;
      }
      consumer.ack(message);
      emit("acked", fields("body", body));
      acked.add(body);
    });
    acked.await(count(), 1);
  }

  private void tags() throws Exception {
    sendAll(startProducer(), "c", "a", "b");
    Tally byTag = startPushAs("push", text("group"), filter(text("topic")));
    Tally bySql = startPushAs("sql", text("simple-group"),
        Collections.singletonMap(text("topic"), new FilterExpression(text("sql"), FilterExpressionType.SQL92)));
    byTag.await(count() * 2 / 3, 1);
    bySql.await(number("sql-count", 0), 1);
  }

  private Tally startPushAs(String via, String group, Map<String, FilterExpression> filter) throws Exception {
    Tally bodies = new Tally();
    startPush(group, filter, message -> {
      emit("received", with(received(message, via), "tag", message.getTag().orElse(null)));
      bodies.add(bodyOf(message));
      return true;
    });
    return bodies;
  }

  private void retry() throws Exception {
    Tally bodies = new Tally();
    startPush(message -> {
      emit("received", received(message, "push"));
      return bodies.add(bodyOf(message)) >= 3;
    });
    sendAll(startProducer());
    bodies.await(count(), 3);
  }

  private void dlq() throws Exception {
    Tally bodies = new Tally();
    startPush(message -> {
      emit("received", received(message, "push"));
      bodies.add(bodyOf(message));
      return false;
    });
    sendAll(startProducer());
    bodies.await(count(), 3);

    Tally dead = new Tally();
    SimpleConsumer consumer = null;
    while (!dead.complete(count(), 1)) {
      try {
        if (consumer == null) {
          consumer = startSimple("%DLQ%" + text("group"), text("dead-group"));
        }
        for (MessageView message : consumer.receive(BATCH, seconds("invisible", 10))) {
          emit("dead", fields("id", message.getMessageId().toString(), "body", bodyOf(message)));
          consumer.ack(message);
          dead.add(bodyOf(message));
        }
      } catch (Exception error) { // The topic appears with its first message.
        emit("waiting", describe(error));
        Thread.sleep(500);
      }
    }
  }

  /** In whole seconds, as in the languages that know no finer ones. */
  private Message delayedMessage(String body) {
    long due = System.currentTimeMillis() / 1000 + 1 + number("delay", 3);
    emit("scheduled", fields("body", body, "due", due));
    return messageWith(body).setDeliveryTimestamp(due * 1000).build();
  }

  private Tally startPushWithTimes() throws Exception {
    Tally bodies = new Tally();
    startPush(message -> {
      emit("received", with(received(message, "push"), "wall", System.currentTimeMillis() / 1000.0));
      bodies.add(bodyOf(message));
      return true;
    });
    return bodies;
  }

  private void delay() throws Exception {
    Tally bodies = startPushWithTimes();
    Producer producer = startProducer();
    for (int i = 0; i < count(); i++) {
      String body = text("run") + "-" + i;
      send(producer, delayedMessage(body), body);
    }
    bodies.await(count(), 1);
  }

  private void recall() throws Exception {
    Tally bodies = startPushWithTimes();
    Producer producer = startProducer();
    String[] handles = new String[2];
    for (int i = 0; i < handles.length; i++) {
      String body = text("run") + "-" + i;
      SendReceipt receipt = producer.send(delayedMessage(body));
      emit("sent", fields("id", receipt.getMessageId().toString(), "body", body, "tag", null));
      handles[i] = receipt.getRecallHandle();
    }
    emit("recalled", fields("id", producer.recallMessage(text("topic"), handles[0]).getMessageId().toString()));
    attemptRecall(producer, "the recalled", handles[0]);
    attemptRecall(producer, "nonsense", "nonsense");
    bodies.await(1, 1);
    Thread.sleep(1000); // The other would come now.
    attemptRecall(producer, "the delivered", handles[1]);
  }

  private void attemptRecall(Producer producer, String name, String handle) {
    try {
      producer.recallMessage(text("topic"), handle);
      emit("accepted", fields("case", name));
    } catch (Exception error) {
      emit("refused", with(describe(error), "case", name));
    }
  }

  /** Answers by the message's number; knows nothing of message 4 when it is asked first. */
  private TransactionChecker checker() {
    Tally asked = new Tally();
    return message -> {
      int index = Integer.parseInt(bodyOf(message).substring(text("run").length() + 1));
      boolean knows = index != 4 || asked.add(bodyOf(message)) > 1;
      TransactionResolution answer = !knows ? TransactionResolution.UNKNOWN
          : index == 3                      ? TransactionResolution.ROLLBACK
                                            : TransactionResolution.COMMIT;
      emit("checked",
          fields(
              "id", message.getMessageId().toString(), "body", bodyOf(message), "answer", answer.name().toLowerCase()));
      return answer;
    };
  }

  private Transaction prepare(Producer producer, int index) throws Exception {
    String body = text("run") + "-" + index;
    Transaction opened = producer.beginTransaction();
    SendReceipt receipt = producer.send(messageWith(body).build(), opened);
    emit("prepared", fields("id", receipt.getMessageId().toString(), "body", body));
    return opened;
  }

  private Producer startTransactionProducer() throws Exception {
    return PROVIDER.newProducerBuilder()
        .setClientConfiguration(configuration(text("endpoint")))
        .setTopics(text("topic"))
        .setTransactionChecker(checker())
        .build();
  }

  private void transaction() throws Exception {
    Tally bodies = new Tally();
    startPush(message -> {
      emit("received", received(message, "push"));
      bodies.add(bodyOf(message));
      return true;
    });
    Producer goes = startTransactionProducer();
    prepare(goes, 5);
    goes.close();
    Producer stays = startTransactionProducer();
    prepare(stays, 0).commit();
    emit("ended", fields("body", text("run") + "-0", "how", "commit"));
    prepare(stays, 1).rollback();
    emit("ended", fields("body", text("run") + "-1", "how", "rollback"));
    for (int index : new int[] {2, 3, 4}) {
      prepare(stays, index);
    }
    bodies.await(4, 1);
    Thread.sleep(1000); // What must not arrive would be here by now.
  }

  private void fifo() throws Exception {
    Producer producer = startProducer();
    for (int index = 0; index < count(); index++) {
      String body = text("run") + "-" + index;
      send(producer, messageWith(body).setMessageGroup("g" + index % MESSAGE_GROUPS).build(), body);
    }
    // The second message of the first message group fails once.
    String failing = text("run") + "-" + MESSAGE_GROUPS;

    Tally pushed = new Tally();
    Tally pushedAttempts = new Tally();
    startPush(message -> {
      emit("received", received(message, "push"));
      String body = bodyOf(message);
      if (pushedAttempts.add(body) == 1 && body.equals(failing)) {
        emit("failed", fields("via", "push", "body", body));
        return false;
      }
      emit("consumed", fields("via", "push", "body", body));
      pushed.add(body);
      return true;
    });
    pushed.await(count(), 1);

    SimpleConsumer consumer = startSimple(text("topic"), text("simple-group"));
    Tally seen = new Tally();
    Tally acked = new Tally();
    receiveUntil(consumer, 1, () -> acked.complete(count(), 1), message -> {
      String body = bodyOf(message);
      if (seen.add(body) == 1 && body.equals(failing)) {
        emit("failed", fields("via", "simple", "body", body));
        consumer.changeInvisibleDuration(message, seconds("change", 5));
        return;
      }
      emit("consumed", fields("via", "simple", "body", body));
      consumer.ack(message);
      acked.add(body);
    });
    acked.await(count(), 1);
  }

  private void priority() throws Exception {
    Producer producer = startProducer();
    for (int index = 0; index < count(); index++) {
      String body = text("run") + "-" + index;
      int priority = 1 + index * 7 % 15; // Each of 1 to 15, in no order.
      SendReceipt receipt = producer.send(messageWith(body).setPriority(priority).build());
      emit("sent", fields("id", receipt.getMessageId().toString(), "body", body, "tag", null, "priority", priority));
    }

    SimpleConsumer consumer = startSimple(text("topic"), text("group"));
    Tally acked = new Tally();
    for (int answer = 1; !acked.complete(count(), 1); answer++) {
      List<MessageView> messages = consumer.receive(PRIORITY_BATCH, seconds("invisible", 10));
      for (MessageView message : messages) {
        emit("received", with(with(received(message, "simple"), "answer", answer), "priority", message.getPriority().orElse(null)));
      }
      for (MessageView message : messages) {
        consumer.ack(message);
        acked.add(bodyOf(message));
      }
    }
  }

  private void wrongType() throws Exception {
    Producer producer = startProducer();
    attempt(producer, "fifo-to-normal", () -> messageTo(text("topic"), "fifo-to-normal").setMessageGroup("g0").build());
    attempt(producer, "normal-to-fifo", () -> messageTo(text("fifo-topic"), "normal-to-fifo").build());
    send(producer, messageTo(text("topic"), "normal").build(), text("run") + "-normal");
    send(producer, messageTo(text("fifo-topic"), "fifo").setMessageGroup("g0").build(), text("run") + "-fifo");
  }

  private MessageBuilder messageTo(String topic, String body) {
    return messageWith(text("run") + "-" + body).setTopic(topic);
  }

  /** Two members, each with a group of its own: they hear what is told to all, and each asks and is answered. */
  private void members() throws Exception {
    String replyTopic = text("reply-topic");
    Tally heard = new Tally();
    Tally replied = new Tally();
    for (String name : MEMBERS) {
      Map<String, FilterExpression> filters = Map.of(text("topic"), new FilterExpression("news", FilterExpressionType.TAG),
          replyTopic, new FilterExpression(name, FilterExpressionType.TAG));
      startPush("%MEMBER%" + text("run") + "-" + name, filters, message -> {
        String body = bodyOf(message);
        Map<String, Object> fields = fields("member", name, "id", message.getMessageId().toString(), "body", body);
        if (message.getTopic().equals(replyTopic)) {
          emit("replied", with(fields, "correlation", message.getProperties().get("correlation_id")));
          replied.add(name + body);
        } else {
          emit("heard", fields);
          heard.add(name + body);
        }
        return true;
      });
    }
    Producer producer = startProducer();
    startPush(text("group"), Collections.singletonMap(text("topic"), new FilterExpression("ask", FilterExpressionType.TAG)),
        request -> answer(producer, request));
    for (int index = 0; index < count(); index++) {
      String news = text("run") + "-" + index;
      send(producer, messageWith(news).setTag("news").build(), news);
      for (String name : MEMBERS) {
        String body = text("run") + "-" + name + "-" + index;
        send(producer, messageWith(body).setTag("ask").addProperty("correlation_id", name + "-" + index)
            .addProperty("reply_topic", replyTopic).addProperty("reply_tag", name).build(), body);
      }
    }
    heard.await(MEMBERS.length * count(), 1);
    replied.await(MEMBERS.length * count(), 1);
  }

  private static boolean answer(Producer producer, MessageView request) {
    Map<String, String> properties = request.getProperties();
    try {
      producer.send(PROVIDER.newMessageBuilder().setTopic(properties.get("reply_topic")).setTag(properties.get("reply_tag"))
          .addProperty("correlation_id", properties.get("correlation_id"))
          .setBody(("re:" + bodyOf(request)).getBytes(StandardCharsets.UTF_8)).build());
      return true;
    } catch (Exception error) {
      fail("answer", error);
      return false;
    }
  }

  private void props() throws Exception {
    Tally bodies = new Tally();
    startPush(message -> {
      if (message.getTag().orElse("").equals(BYTES)) {
        ByteBuffer buffer = message.getBody();
        byte[] body = new byte[buffer.remaining()];
        buffer.get(body);
        emit("received-bytes", with(outline(body), "id", message.getMessageId().toString()));
        bodies.add(message.getMessageId().toString());
        return true;
      }
      emit("received", with(with(with(received(message, "push"), "tag", message.getTag().orElse(null)), "keys",
          new TreeSet<>(message.getKeys())), "properties", message.getProperties()));
      bodies.add(bodyOf(message));
      return true;
    });
    MessageBuilder builder = messageWith(text("body")).setTag(text("tag")).setKeys(text("keys").split(","));
    for (String pair : text("properties").split(",")) {
      String[] nameAndValue = pair.split("=");
      builder.addProperty(nameAndValue[0], nameAndValue[1]);
    }
    Producer producer = startProducer();
    send(producer, builder.build(), text("body"));

    byte[] every = new byte[256];
    for (int i = 0; i < every.length; i++) {
      every[i] = (byte) i;
    }
    byte[] large = new byte[LARGE_BODY_BYTES];
    Arrays.fill(large, (byte) 'x');
    List<byte[]> sent = List.of(every, new byte[1], large);
    List<CompletableFuture<SendReceipt>> receipts = new ArrayList<>();
    for (byte[] body : sent) {
      receipts.add(producer.sendAsync(
          PROVIDER.newMessageBuilder().setTopic(text("topic")).setTag(BYTES).setBody(body).build()));
    }
    for (int i = 0; i < sent.size(); i++) {
      emit("sent-bytes", with(with(outline(sent.get(i)), "id", receipts.get(i).get().getMessageId().toString()), "how", "async"));
    }
    bodies.await(1 + sent.size(), 1);
  }

  private static Map<String, Object> outline(byte[] body) {
    Adler32 sum = new Adler32();
    sum.update(body);
    return fields("bytes", body.length, "adler32", sum.getValue());
  }

  private void errors() throws Exception {
    Producer producer = startProducer();
    attempt(producer, "illegal-topic", "bad.topic", 1);
    attempt(producer, "oversize-body", text("topic"), MAX_BODY_BYTES + 1);
    attempt(producer, "unknown-topic", text("topic") + "-unknown", 1);
    attempt(producer, "long-topic", "x".repeat(128), 1);
    attempt(producer, "empty-body", text("topic"), 0);
    attempt(producer, "illegal-tag", () -> PROVIDER.newMessageBuilder().setTopic(text("topic")).setBody(new byte[1])
        .setTag("a|b").build());
    endWhilePolling(producer);
  }

  /** A consumer ends while it polls. What is sent afterwards must not go to it. */
  private void endWhilePolling(Producer producer) throws Exception {
    SimpleConsumer ending = startSimple(text("topic"), text("group"));
    ending.receiveAsync(1, seconds("invisible", 10)); // How it ends is the client's matter.
    Thread.sleep(500);
    long began = System.nanoTime();
    ending.close();
    emit("closed", fields("seconds", (System.nanoTime() - began) / 1e9));
    String after = text("run") + "-after";
    send(producer, messageWith(after).build(), after);
    SimpleConsumer consumer = startSimple(text("topic"), text("group"));
    Tally acked = new Tally();
    receiveUntil(consumer, BATCH, () -> acked.complete(1, 1), message -> {
      consumer.ack(message);
      acked.add(bodyOf(message));
    });
    acked.await(1, 1);
  }

  private static void attempt(Producer producer, String name, String topic, int bodyBytes) {
    attempt(producer, name, () -> PROVIDER.newMessageBuilder().setTopic(topic).setBody(new byte[bodyBytes]).build());
  }

  private static void attempt(Producer producer, String name, Supplier<Message> message) {
    try {
      producer.send(message.get());
      emit("accepted", fields("case", name));
    } catch (Exception error) {
      emit("refused", with(describe(error), "case", name));
    }
  }

  private LitePushConsumer startLite(String topic, String group, Consumer<MessageView> consume) throws Exception {
    return PROVIDER.newLitePushConsumerBuilder().setClientConfiguration(consumerConfiguration())
        .setConsumerGroup(group).bindTopic(topic).setMessageListener(message -> {
          consume.accept(message);
          return ConsumeResult.SUCCESS;
        }).build();
  }

  private static void sendLite(Producer producer, String topic, String lite, String body) throws Exception {
    SendReceipt receipt = producer.send(PROVIDER.newMessageBuilder().setTopic(topic).setLiteTopic(lite)
        .setBody(body.getBytes(StandardCharsets.UTF_8)).build());
    emit("sent", fields("id", receipt.getMessageId().toString(), "body", body, "tag", null, "lite", lite));
  }

  private static Map<String, Object> receivedLite(MessageView message) {
    return with(received(message, "lite"), "lite", message.getLiteTopic().orElse(null));
  }

  private void lite() throws Exception {
    Tally bodies = new Tally();
    LitePushConsumer consumer = startLite(text("topic"), text("group"), message -> {
      if (indexOf(bodyOf(message)) == 0) {
        pause(0.3); // What follows would overtake it.
      }
      emit("received", receivedLite(message));
      bodies.add(bodyOf(message));
    });
    Producer producer = startProducer();
    subscribe(consumer, "a");
    subscribe(consumer, "b");
    for (int index = 0; index < count(); index++) {
      for (String lite : LITE_TOPICS) {
        sendLite(producer, lite, index);
      }
    }
    bodies.await(2 * count(), 1);
    subscribe(consumer, "c");
    bodies.await(3 * count(), 1);
    unsubscribe(consumer, "a");
    sendLite(producer, "a", count());
    sendLite(producer, "b", count());
    bodies.await(3 * count() + 1, 1);
    subscribe(consumer, "d");
    bodies.await(4 * count() + 1, 1);
    attemptLite(consumer, "over-quota", "e");
    attemptLite(consumer, "long-lite-topic", "x".repeat(65));
    unsubscribe(consumer, "c");
    subscribe(consumer, "a");
    bodies.await(4 * count() + 2, 1);
  }

  private void sendLite(Producer producer, String lite, int index) throws Exception {
    sendLite(producer, text("topic"), lite, text("run") + "-" + lite + "-" + index);
  }

  private static void subscribe(LitePushConsumer consumer, String lite) throws Exception {
    emit("subscribing", fields("lite", lite));
    consumer.subscribeLite(lite);
  }

  private static void unsubscribe(LitePushConsumer consumer, String lite) throws Exception {
    consumer.unsubscribeLite(lite);
    emit("unsubscribed", fields("lite", lite));
  }

  private static void attemptLite(LitePushConsumer consumer, String name, String lite) {
    try {
      consumer.subscribeLite(lite);
      emit("accepted", fields("case", name));
    } catch (Exception error) {
      emit("refused", with(describe(error), "case", name));
    }
  }

  /** What was there before the subscription, from where it says on. */
  private void liteOffset() throws Exception {
    Tally bodies = new Tally();
    AtomicReference<String> phase = new AtomicReference<>("");
    LitePushConsumer consumer = startLite(text("topic"), text("group"), message -> {
      emit("received", with(receivedLite(message), "phase", phase.get()));
      bodies.add(phase.get() + bodyOf(message));
    });
    Producer producer = startProducer();
    for (int index = 0; index < count(); index++) {
      sendLite(producer, "a", index);
      sendLite(producer, "b", index);
    }
    phase.set("tail");
    consumer.subscribeLite("a", OffsetOption.ofTailN(2));
    bodies.await(2, 1);
    consumer.unsubscribeLite("a");
    phase.set("min");
    consumer.subscribeLite("a", OffsetOption.MIN_OFFSET);
    bodies.await(2 + count(), 1);
    phase.set("max");
    consumer.subscribeLite("b", OffsetOption.MAX_OFFSET);
    sendLite(producer, "b", count());
    bodies.await(2 + count() + 1, 1);
  }

  /** The listener holds what it is given: as long as it is told, or until the driver kills this program. */
  private void autoRenew() throws Exception {
    Tally done = new Tally();
    startPush(message -> {
      emit("received", received(message, "push"));
      pause(Double.parseDouble(text("hold", "0")));
      emit("consumed", fields("via", "push", "body", bodyOf(message)));
      done.add(bodyOf(message));
      return true;
    });
    if (count() > 0) {
      sendAll(startProducer());
    }
    done.await(Math.max(count(), 1), 1);
    pause(Double.parseDouble(text("linger", "0"))); // For what should not come again, and for the acknowledgement.
  }

  /** Sends for a while over connections that end, to a push consumer and a simple one; what fails is said, and then it goes on. */
  private void goaway() throws Exception {
    Tally pushed = new Tally();
    Tally acked = new Tally();
    startPush(message -> {
      emit("received", received(message, "push"));
      pushed.add(bodyOf(message));
      return true;
    });
    SimpleConsumer consumer = startSimple(text("topic"), text("simple-group"));
    Producer producer = startProducer();
    for (int i = 0; i < number("receivers", 1); i++) {
      new Thread(() -> receiveForever(consumer, acked)).start();
    }
    int sent = 0;
    for (int index = 0; index < count(); index++) {
      String body = text("run") + "-" + index;
      try {
        send(producer, messageWith(body).build(), body);
        sent++;
      } catch (Throwable error) {
        emit("send-failed", with(describe(error), "body", body));
      }
      pause(Double.parseDouble(text("pause", "0.02")));
    }
    pushed.await(sent, 1);
    acked.await(sent, 1);
  }

  private void loop() throws Exception {
    startPush(message -> {
      emit("received", received(message, "push"));
      return true;
    });
    startLite(text("lite-topic"), text("lite-group"), message -> emit("received", receivedLite(message))).subscribeLite("a");
    SimpleConsumer consumer = startSimple(text("topic"), text("simple-group"));
    Producer producer = startProducer();
    for (int i = 0; i < number("receivers", 1); i++) {
      new Thread(() -> receiveForever(consumer, new Tally())).start();
    }

    int index = 0;
    for (; sending; index++) {
      String body = text("run") + "-" + index;
      try {
        send(producer, messageWith(body).build(), body);
        if (index % LITE_EVERY == 0) {
          sendLite(producer, text("lite-topic"), "a", text("run") + "-lite-" + index);
        }
      } catch (Throwable error) {
        emit("send-failed", with(describe(error), "body", body));
      }
      Thread.sleep(seconds("pause", 0.02).toMillis());
    }
    emit("stopped", fields("sends", index));
    new CountDownLatch(1).await(); // Keep consuming until stdin closes.
  }

  private void receiveForever(SimpleConsumer consumer, Tally acked) {
    for (;;) {
      try {
        for (MessageView message : consumer.receive(BATCH, seconds("invisible", 10))) {
          emit("received", received(message, "simple"));
          consumer.ack(message);
          acked.add(bodyOf(message));
        }
      } catch (Throwable error) {
        emit("receive-failed", describe(error));
        try {
          Thread.sleep(200);
        } catch (InterruptedException interrupted) {
          return;
        }
      }
    }
  }

  // The mixed load of the crash test: every kind at once.

  private static double now() {
    Instant now = Instant.now();
    return now.getEpochSecond() + now.getNano() / 1e9;
  }

  private static int indexOf(String body) {
    return Integer.parseInt(body.substring(body.lastIndexOf('-') + 1));
  }

  private static boolean commitsMixed(int index) {
    return index % 2 == 0;
  }

  /** Which deliveries are given back: to be tried again, to die, to hold up their message group. */
  private static boolean returnsMixed(String via, int index, int attempt) {
    return (via.equals("retry") && (index % 5 == 0 || attempt == 1))
        || (via.equals("fifo") && index % 17 == 5 && attempt == 1)
        || (via.equals("push") && index % 7 == 3 && attempt == 1);
  }

  private String topicOf(String kind) {
    return text("topic") + "-" + kind;
  }

  private void mixed() throws Exception {
    List<String> kinds = List.of(text("kinds").split(","));
    // What it would have done itself; of any producer's transaction, since whoever lives is asked.
    TransactionChecker checker = message -> {
      boolean commits = commitsMixed(indexOf(bodyOf(message)));
      emit("checked", fields("id", message.getMessageId().toString(), "body", bodyOf(message), "answer",
          commits ? "commit" : "rollback"));
      return commits ? TransactionResolution.COMMIT : TransactionResolution.ROLLBACK;
    };
    Producer producer = PROVIDER.newProducerBuilder().setClientConfiguration(configuration(text("endpoint")))
        .setTopics(Stream.concat(kinds.stream(), Stream.of("reply")).map(this::topicOf).toArray(String[]::new))
        .setTransactionChecker(checker).build();
    for (String via : text("groups").split(",")) {
      switch (via) {
        case "push" -> startPushMixed(producer, via, text("group") + "-push", "normal", "*");
        case "push-fifo" -> startPushMixed(producer, via, text("group") + "-push-fifo", "fifo", "*");
        case "request" -> startPushMixed(producer, via, text("group") + "-request", "request", "*");
        case "reply" -> startPushMixed(producer, via, "%MEMBER%" + text("group") + "-" + text("run"), "reply", text("run"));
        case "lite" -> startReaderMixed(producer);
        default -> startSimpleMixed(via);
      }
    }
    List<Thread> senders = new ArrayList<>();
    for (String kind : kinds) {
      senders.add(new Thread(() -> sendMixed(producer, kind)));
      senders.get(senders.size() - 1).start();
    }
    for (Thread sender : senders) {
      sender.join();
    }
    emit("stopped", fields());
    new CountDownLatch(1).await(); // Keep consuming until stdin closes.
  }

  private void startSimpleMixed(String via) throws Exception {
    String topic = via.equals("dead") ? "%DLQ%" + text("group") + "-retry"
        : topicOf(via.equals("tag") || via.equals("sql") ? "normal" : via);
    FilterExpression filter = via.equals("sql") ? new FilterExpression(text("sql"), FilterExpressionType.SQL92)
        : new FilterExpression(via.equals("tag") ? text("expression") : "*", FilterExpressionType.TAG);
    SimpleConsumer consumer = PROVIDER.newSimpleConsumerBuilder().setClientConfiguration(consumerConfiguration())
        .setConsumerGroup(text("group") + "-" + via).setSubscriptionExpressions(Collections.singletonMap(topic, filter))
        .setAwaitDuration(seconds("await", 5)).build();
    for (int i = 0; i < number("receivers", 1); i++) {
      new Thread(() -> receiveMixed(consumer, via)).start();
    }
  }

  private void startReaderMixed(Producer producer) throws Exception {
    LitePushConsumer reader =
        startLite(topicOf("lite"), text("group") + "-lite", message -> consumeMixed(producer, "lite", message));
    for (String lite : text("lite-names").split(",")) {
      reader.subscribeLite(lite);
    }
  }

  private void startPushMixed(Producer producer, String via, String group, String kind, String tag) throws Exception {
    startPush(group, Collections.singletonMap(topicOf(kind), new FilterExpression(tag, FilterExpressionType.TAG)),
        message -> consumeMixed(producer, via, message));
  }

  private boolean consumeMixed(Producer producer, String via, MessageView message) {
    String body = bodyOf(message);
    emit("received", with(received(message, via), "wall", now()));
    boolean returns = returnsMixed(via, indexOf(body), message.getDeliveryAttempt());
    if (via.equals("request")) {
      try {
        answerMixed(producer, message);
      } catch (Throwable error) {
        emit("send-failed", with(describe(error), "body", body));
        returns = true;
      }
    }
    emit(returns ? "returned" : "consumed",
        fields("via", via, "body", body, "attempt", message.getDeliveryAttempt(), "begun", now()));
    return !returns;
  }

  /** Its body says whose request it answers, and which attempt: so each answer is another one. */
  private void answerMixed(Producer producer, MessageView request) throws Exception {
    String[] parts = bodyOf(request).split("-");
    String body = "reply-" + parts[1] + "." + request.getDeliveryAttempt() + "-" + parts[2];
    SendReceipt receipt = producer.send(PROVIDER.newMessageBuilder().setTopic(topicOf("reply")).setTag(parts[1])
        .setBody(body.getBytes(StandardCharsets.UTF_8)).build());
    emit("sent", fields("id", receipt.getMessageId().toString(), "body", body));
  }

  private void receiveMixed(SimpleConsumer consumer, String via) {
    for (;;) {
      double asked = now();
      try {
        settleMixed(consumer, via, consumer.receive(16, seconds("invisible", 10)), asked);
      } catch (Throwable error) {
        emit("receive-failed", with(describe(error), "via", via));
        pause(0.2);
      }
    }
  }

  private void settleMixed(SimpleConsumer consumer, String via, List<MessageView> messages, double asked) {
    for (int place = 0; place < messages.size(); place++) {
      Map<String, Object> event = received(messages.get(place), via);
      event.putAll(fields("asked", asked, "wall", now(), "answer", text("run") + " " + asked, "place", place));
      emit("received", event);
    }
    for (MessageView message : messages) {
      String body = bodyOf(message);
      boolean returns = returnsMixed(via, indexOf(body), message.getDeliveryAttempt());
      Map<String, Object> event =
          fields("via", via, "body", body, "attempt", message.getDeliveryAttempt(), "begun", now());
      try {
        if (returns) {
          consumer.changeInvisibleDuration(message, seconds("change", 5));
        } else {
          consumer.ack(message);
        }
        emit(returns ? "returned" : "acked", event);
      } catch (Throwable error) {
        event.putAll(describe(error));
        emit(returns ? "return-failed" : "ack-failed", event);
        if (via.equals("fifo")) {
          return; // What follows would overtake it.
        }
      }
    }
  }

  private static void pause(double seconds) {
    try {
      Thread.sleep((long) (seconds * 1000));
    } catch (InterruptedException interrupted) {
      fail("pause", interrupted);
    }
  }

  private void sendMixed(Producer producer, String kind) {
    for (int index = 0; sending; index++) {
      String body = kind + "-" + text("run") + "-" + index;
      try {
        sendOneMixed(producer, kind, index, body);
      } catch (Throwable error) {
        emit("send-failed", with(describe(error), "body", body));
      }
      pause(Double.parseDouble(text("pause", "0.02")));
    }
  }

  private void sendOneMixed(Producer producer, String kind, int index, String body) throws Exception {
    MessageBuilder builder =
        PROVIDER.newMessageBuilder().setTopic(topicOf(kind)).setBody(body.getBytes(StandardCharsets.UTF_8));
    if (kind.equals("normal")) {
      builder.setTag("cab".substring(index % 3, index % 3 + 1)).addProperty("number", String.valueOf(index));
    } else if (kind.equals("fifo")) {
      builder.setMessageGroup(text("run") + "-" + index % MESSAGE_GROUPS);
    } else if (kind.equals("delay")) {
      long due = System.currentTimeMillis() / 1000 + 2 + index % 4;
      emit("scheduled", fields("body", body, "due", due));
      builder.setDeliveryTimestamp(due * 1000);
    } else if (kind.equals("priority")) {
      builder.setPriority(1 + index % 15);
    } else if (kind.equals("lite")) {
      builder.setLiteTopic(text("run"));
    }
    if (!kind.equals("transaction")) {
      SendReceipt receipt = producer.send(builder.build());
      emit("sent", fields("id", receipt.getMessageId().toString(), "body", body));
      if (kind.equals("delay") && index % 4 == 1) {
        try {
          producer.recallMessage(topicOf(kind), receipt.getRecallHandle());
          emit("recalled", fields("body", body));
        } catch (Throwable error) {
          emit("recall-failed", with(describe(error), "body", body));
        }
      }
      return;
    }
    Transaction opened = producer.beginTransaction();
    SendReceipt receipt = producer.send(builder.build(), opened);
    emit("sent", fields("id", receipt.getMessageId().toString(), "body", body));
    if (index % 4 >= 2) {
      return; // Left to the check-back.
    }
    try {
      if (commitsMixed(index)) {
        opened.commit();
      } else {
        opened.rollback();
      }
      emit("ended", fields("body", body, "how", commitsMixed(index) ? "commit" : "rollback"));
    } catch (Throwable error) {
      emit("end-failed", with(describe(error), "body", body));
    }
  }

  private static void obeyStdin() {
    try {
      BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        if (line.trim().equals("stop")) {
          sending = false;
        }
      }
    } catch (java.io.IOException closed) {
      // The same as the end of the input.
    }
    leave(0); // The driver is gone, or has seen enough.
  }

  public static void main(String[] arguments) {
    Conformance conformance = new Conformance(arguments);
    Map<String, Scenario> scenarios = Map.ofEntries(Map.entry("normal-push", conformance::normalPush),
        Map.entry("simple", conformance::simple), Map.entry("tags", conformance::tags),
        Map.entry("retry", conformance::retry), Map.entry("dlq", conformance::dlq),
        Map.entry("delay", conformance::delay), Map.entry("recall", conformance::recall),
        Map.entry("transaction", conformance::transaction), Map.entry("fifo", conformance::fifo),
        Map.entry("priority", conformance::priority), Map.entry("members", conformance::members),
        Map.entry("props", conformance::props), Map.entry("errors", conformance::errors),
        Map.entry("wrong-type", conformance::wrongType), Map.entry("lite", conformance::lite),
        Map.entry("lite-offset", conformance::liteOffset), Map.entry("auto-renew", conformance::autoRenew),
        Map.entry("goaway", conformance::goaway), Map.entry("loop", conformance::loop), Map.entry("mixed", conformance::mixed));
    if (arguments.length == 0 || !scenarios.containsKey(arguments[0])) {
      System.err.println("the first argument is a scenario; see README.md");
      System.exit(2);
    }
    Thread stdin = new Thread(Conformance::obeyStdin);
    stdin.setDaemon(true);
    stdin.start();
    try {
      scenarios.get(arguments[0]).run();
    } catch (Throwable error) {
      fail(arguments[0], error);
    }
    emit("done", fields());
    leave(0);
  }
}
