// The official Go client of RocketMQ 5, one scenario per run.
//
// The command line and the events on stdout are the same in every language:
// ../README.md describes them. Nothing here judges; driver.py does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/adler32"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
	v2 "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"
)

const (
	sendsInFlight = 16
	batch         = 32
	maxBodyBytes  = 4 * 1024 * 1024
	largeBody     = maxBodyBytes - 4096 // An answer with it stays below 4 MiB.
	bytesTag      = "bytes"             // Of messages whose body is no text.
	messageGroups = 4
	priorityBatch = 2
	liteEvery     = 10 // Sends of loop.
)

var (
	begin    = time.Now()
	printing sync.Mutex
	stopped  atomic.Bool

	memberNames = []string{"a", "b"}
	liteTopics  = []string{"a", "b", "c", "d"}
)

type fields map[string]any

func emit(event string, more fields) {
	line := fields{"event": event, "t": time.Since(begin).Seconds()}
	for key, value := range more {
		line[key] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(text))
}

func describe(err error) fields {
	described := fields{"type": fmt.Sprintf("%T", err), "code": nil, "message": err.Error()}
	if status, ok := rmq.AsErrRpcStatus(err); ok {
		described["code"] = status.GetCode()
	}
	return described
}

func with(described fields, key string, value any) fields {
	described[key] = value
	return described
}

// fail ends the process; closing the clients would wait for their long polls.
func fail(doing string, err error) {
	emit("error", with(describe(err), "doing", doing))
	os.Exit(1)
}

// tally counts how often each body was seen and wakes whoever waits for the last one.
type tally struct {
	mu      sync.Mutex
	changed *sync.Cond
	times   map[string]int
}

func newTally() *tally {
	t := &tally{times: map[string]int{}}
	t.changed = sync.NewCond(&t.mu)
	return t
}

func (t *tally) add(body string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.times[body]++
	t.changed.Broadcast()
	return t.times[body]
}

func (t *tally) completeLocked(bodies, times int) bool {
	complete := 0
	for _, seen := range t.times {
		if seen >= times {
			complete++
		}
	}
	return complete >= bodies
}

func (t *tally) complete(bodies, times int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.completeLocked(bodies, times)
}

func (t *tally) wait(bodies, times int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.completeLocked(bodies, times) {
		t.changed.Wait()
	}
}

type options struct {
	endpoint, consumerEndpoint           string
	topic, group, simpleGroup, deadGroup string
	replyTopic, fifoTopic                string
	liteTopic, liteGroup, liteNames      string
	kinds, groups                        string
	run                                  string
	count, receivers                     int
	await, invisible, change, pause      time.Duration
	delay, hold, linger                  time.Duration
	expression, sql                      string
	sqlCount                             int
	body, tag, keys, properties          string
}

func config(endpoint, group string) *rmq.Config {
	return &rmq.Config{
		Endpoint:      endpoint,
		ConsumerGroup: group,
		Credentials:   &credentials.SessionCredentials{}, // Required, though it may be empty.
	}
}

// started makes a client and starts it. This one now and then marshals its settings while it changes them, at its start, and says
// so ("size mismatch"); then another is made.
func started[Client interface{ Start() error }](doing string, make func() (Client, error)) Client {
	for try := 1; ; try++ {
		client, err := make()
		if err == nil {
			err = client.Start()
		}
		if err == nil {
			return client
		}
		if try == 5 || !strings.Contains(err.Error(), "error while marshaling") {
			fail(doing, err)
		}
	}
}

func startProducer(o options) rmq.Producer {
	return started("start producer", func() (rmq.Producer, error) {
		return rmq.NewProducer(config(o.endpoint, ""), rmq.WithTopics(o.topic))
	})
}

func filter(topic, expression string) map[string]*rmq.FilterExpression {
	return map[string]*rmq.FilterExpression{topic: rmq.NewFilterExpression(expression)}
}

// startPush takes a consume that returns whether the message is done with.
func startPush(o options, consume func(*rmq.MessageView) bool) {
	startPushOf(o, o.group, filter(o.topic, o.expression), consume)
}

func startPushOf(o options, group string, filter map[string]*rmq.FilterExpression, consume func(*rmq.MessageView) bool) {
	listener := &rmq.FuncMessageListener{Consume: func(message *rmq.MessageView) rmq.ConsumerResult {
		if consume(message) {
			return rmq.SUCCESS
		}
		return rmq.FAILURE
	}}
	consumer, err := rmq.NewPushConsumer(config(o.consumerEndpoint, group),
		rmq.WithPushSubscriptionExpressions(filter),
		rmq.WithPushMessageListener(listener))
	if err == nil {
		err = consumer.Start()
	}
	if err != nil {
		fail("start push consumer", err)
	}
}

func newSimple(o options, topic, group string) (rmq.SimpleConsumer, error) {
	consumer, err := rmq.NewSimpleConsumer(config(o.consumerEndpoint, group),
		rmq.WithSimpleAwaitDuration(o.await),
		rmq.WithSimpleSubscriptionExpressions(filter(topic, o.expression)))
	if err != nil {
		return nil, err
	}
	return consumer, consumer.Start()
}

func startSimple(o options, topic, group string) rmq.SimpleConsumer {
	consumer, err := newSimple(o, topic, group)
	if err != nil {
		fail("start simple consumer", err)
	}
	return consumer
}

// receive hides that this client reports an empty poll as an error.
func receive(o options, consumer rmq.SimpleConsumer, most int32) ([]*rmq.MessageView, error) {
	return receiveWithin(context.Background(), o, consumer, most)
}

func receiveWithin(ctx context.Context, o options, consumer rmq.SimpleConsumer, most int32) ([]*rmq.MessageView, error) {
	messages, err := consumer.Receive(ctx, most, o.invisible)
	if status, ok := rmq.AsErrRpcStatus(err); ok && status.GetCode() == int32(v2.Code_MESSAGE_NOT_FOUND) {
		return nil, nil
	}
	return messages, err
}

func received(message *rmq.MessageView, via string) fields {
	return fields{"via": via, "id": message.GetMessageId(), "body": string(message.GetBody()),
		"attempt": message.GetDeliveryAttempt()}
}

func send(producer rmq.Producer, message *rmq.Message) error {
	receipts, err := producer.Send(context.Background(), message)
	if err != nil {
		return err
	}
	for _, receipt := range receipts {
		emit("sent", fields{"id": receipt.MessageID, "body": string(message.Body), "tag": message.GetTag()})
	}
	return nil
}

func sendAll(o options, producer rmq.Producer, tags ...string) {
	var next atomic.Int64
	var senders sync.WaitGroup
	for i := 0; i < sendsInFlight; i++ {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for index := int(next.Add(1) - 1); index < o.count; index = int(next.Add(1) - 1) {
				message := &rmq.Message{Topic: o.topic, Body: []byte(fmt.Sprintf("%s-%d", o.run, index))}
				if len(tags) > 0 {
					message.SetTag(tags[index%len(tags)])
					message.AddProperty("number", fmt.Sprint(index))
				}
				if err := send(producer, message); err != nil {
					fail("send", err)
				}
			}
		}()
	}
	senders.Wait()
}

// receiveUntil receives several times side by side, because each receive asks only one broker of the route.
func receiveUntil(o options, consumer rmq.SimpleConsumer, most int32, finished func() bool, settle func(*rmq.MessageView) error) {
	for i := 0; i < o.receivers; i++ {
		go func() {
			for !finished() {
				messages, err := receive(o, consumer, most)
				if err != nil {
					fail("receive", err)
				}
				for _, message := range messages {
					emit("received", received(message, "simple"))
				}
				for _, message := range messages {
					if err := settle(message); err != nil {
						fail("settle", err)
					}
				}
			}
		}()
	}
}

func normalPush(o options) {
	bodies := newTally()
	startPush(o, func(message *rmq.MessageView) bool {
		emit("received", received(message, "push"))
		bodies.add(string(message.GetBody()))
		return true
	})
	sendAll(o, startProducer(o))
	bodies.wait(o.count, 1)
}

func simple(o options) {
	sendAll(o, startProducer(o))
	consumer := startSimple(o, o.topic, o.group)
	seen, acked := newTally(), newTally()
	receiveUntil(o, consumer, batch, func() bool { return acked.complete(o.count, 1) }, func(message *rmq.MessageView) error {
		body := string(message.GetBody())
		firstTime := seen.add(body) == 1
		if firstTime && body == o.run+"-0" {
			return nil // Left alone: it must come back after its invisible time.
		}
		if firstTime && body == o.run+"-1" {
			if err := consumer.ChangeInvisibleDuration(message, o.change); err != nil {
				return err
			}
			emit("changed", fields{"body": body})
			return nil
		}
		if err := consumer.Ack(context.Background(), message); err != nil {
			return err
		}
		emit("acked", fields{"body": body})
		acked.add(body)
		return nil
	})
	acked.wait(o.count, 1)
}

func tags(o options) {
	sendAll(o, startProducer(o), "c", "a", "b")
	start := func(via, group string, filter map[string]*rmq.FilterExpression) *tally {
		bodies := newTally()
		startPushOf(o, group, filter, func(message *rmq.MessageView) bool {
			emit("received", with(received(message, via), "tag", message.GetTag()))
			bodies.add(string(message.GetBody()))
			return true
		})
		return bodies
	}
	byTag := start("push", o.group, filter(o.topic, o.expression))
	bySQL := start("sql", o.simpleGroup, map[string]*rmq.FilterExpression{
		o.topic: rmq.NewFilterExpressionWithType(o.sql, rmq.SQL92)})
	byTag.wait(o.count*2/3, 1)
	bySQL.wait(o.sqlCount, 1)
}

func retry(o options) {
	bodies := newTally()
	startPush(o, func(message *rmq.MessageView) bool {
		emit("received", received(message, "push"))
		return bodies.add(string(message.GetBody())) >= 3
	})
	sendAll(o, startProducer(o))
	bodies.wait(o.count, 3)
}

func dlq(o options) {
	bodies := newTally()
	startPush(o, func(message *rmq.MessageView) bool {
		emit("received", received(message, "push"))
		bodies.add(string(message.GetBody()))
		return false
	})
	sendAll(o, startProducer(o))
	bodies.wait(o.count, 3)

	dead := newTally()
	var consumer rmq.SimpleConsumer
	for !dead.complete(o.count, 1) {
		var err error
		if consumer == nil {
			consumer, err = newSimple(o, "%DLQ%"+o.group, o.deadGroup)
		}
		var messages []*rmq.MessageView
		if err == nil {
			messages, err = receive(o, consumer, batch)
		} else {
			consumer = nil
		}
		if err != nil { // The topic appears with its first message.
			emit("waiting", describe(err))
			time.Sleep(500 * time.Millisecond)
		}
		for _, message := range messages {
			emit("dead", fields{"id": message.GetMessageId(), "body": string(message.GetBody())})
			if err := consumer.Ack(context.Background(), message); err != nil {
				fail("ack", err)
			}
			dead.add(string(message.GetBody()))
		}
	}
}

// delayedMessage is due in whole seconds, as in the languages that know no finer ones.
func delayedMessage(o options, index int) *rmq.Message {
	message := &rmq.Message{Topic: o.topic, Body: []byte(fmt.Sprintf("%s-%d", o.run, index))}
	due := time.Now().Unix() + 1 + int64(o.delay/time.Second)
	message.SetDelayTimestamp(time.Unix(due, 0))
	emit("scheduled", fields{"body": string(message.Body), "due": due})
	return message
}

func startPushWithTimes(o options) *tally {
	bodies := newTally()
	startPush(o, func(message *rmq.MessageView) bool {
		emit("received", with(received(message, "push"), "wall", float64(time.Now().UnixNano())/1e9))
		bodies.add(string(message.GetBody()))
		return true
	})
	return bodies
}

func delay(o options) {
	bodies := startPushWithTimes(o)
	producer := startProducer(o)
	for index := 0; index < o.count; index++ {
		if err := send(producer, delayedMessage(o, index)); err != nil {
			fail("send", err)
		}
	}
	bodies.wait(o.count, 1)
}

func recall(o options) {
	bodies := startPushWithTimes(o)
	producer := startProducer(o)
	var handles []string
	for index := 0; index < 2; index++ {
		message := delayedMessage(o, index)
		receipts, err := producer.Send(context.Background(), message)
		if err != nil {
			fail("send", err)
		}
		emit("sent", fields{"id": receipts[0].MessageID, "body": string(message.Body), "tag": nil})
		handles = append(handles, receipts[0].RecallHandle)
	}
	id, err := producer.Recall(context.Background(), o.topic, handles[0])
	if err != nil {
		fail("recall", err)
	}
	emit("recalled", fields{"id": id})

	attempt := func(name, handle string) {
		if _, err := producer.Recall(context.Background(), o.topic, handle); err != nil {
			emit("refused", with(describe(err), "case", name))
		} else {
			emit("accepted", fields{"case": name})
		}
	}
	attempt("the recalled", handles[0])
	attempt("nonsense", "nonsense")
	bodies.wait(1, 1)
	time.Sleep(time.Second) // The other would come now.
	attempt("the delivered", handles[1])
}

// checker answers by the message's number; it knows nothing of message 4 when it is asked first.
func checker(o options) *rmq.TransactionChecker {
	asked := newTally()
	return &rmq.TransactionChecker{Check: func(message *rmq.MessageView) rmq.TransactionResolution {
		body := string(message.GetBody())
		answer, resolution := "commit", rmq.COMMIT
		switch {
		case body == o.run+"-4" && asked.add(body) == 1:
			answer, resolution = "unknown", rmq.UNKNOWN
		case body == o.run+"-3":
			answer, resolution = "rollback", rmq.ROLLBACK
		}
		emit("checked", fields{"id": message.GetMessageId(), "body": body, "answer": answer})
		return resolution
	}}
}

func transaction(o options) {
	bodies := newTally()
	startPush(o, func(message *rmq.MessageView) bool {
		emit("received", received(message, "push"))
		bodies.add(string(message.GetBody()))
		return true
	})
	start := func() rmq.Producer {
		producer, err := rmq.NewProducer(config(o.endpoint, ""), rmq.WithTopics(o.topic), rmq.WithTransactionChecker(checker(o)))
		if err == nil {
			err = producer.Start()
		}
		if err != nil {
			fail("start producer", err)
		}
		return producer
	}
	prepare := func(producer rmq.Producer, index int) rmq.Transaction {
		body := fmt.Sprintf("%s-%d", o.run, index)
		opened := producer.BeginTransaction()
		receipts, err := producer.SendWithTransaction(context.Background(), &rmq.Message{Topic: o.topic, Body: []byte(body)}, opened)
		if err != nil {
			fail("prepare", err)
		}
		emit("prepared", fields{"id": receipts[0].MessageID, "body": body})
		return opened
	}
	end := func(index int, how string, err error) {
		if err != nil {
			fail(how, err)
		}
		emit("ended", fields{"body": fmt.Sprintf("%s-%d", o.run, index), "how": how})
	}

	goes := start()
	prepare(goes, 5)
	if err := goes.GracefulStop(); err != nil {
		fail("stop producer", err)
	}
	stays := start()
	end(0, "commit", prepare(stays, 0).Commit())
	end(1, "rollback", prepare(stays, 1).RollBack())
	for index := 2; index <= 4; index++ {
		prepare(stays, index)
	}
	bodies.wait(4, 1)
	time.Sleep(time.Second) // What must not arrive would be here by now.
}

func fifo(o options) {
	producer := startProducer(o)
	for index := 0; index < o.count; index++ {
		message := &rmq.Message{Topic: o.topic, Body: []byte(fmt.Sprintf("%s-%d", o.run, index))}
		message.SetMessageGroup(fmt.Sprintf("g%d", index%messageGroups))
		if err := send(producer, message); err != nil {
			fail("send", err)
		}
	}
	// The second message of the first message group fails once.
	failing := fmt.Sprintf("%s-%d", o.run, messageGroups)

	// Nothing fails here: this client goes on with the next messages of its batch while one waits for its retry.
	pushed := newTally()
	startPush(o, func(message *rmq.MessageView) bool {
		emit("received", received(message, "push"))
		body := string(message.GetBody())
		emit("consumed", fields{"via": "push", "body": body})
		pushed.add(body)
		return true
	})
	pushed.wait(o.count, 1)

	consumer := startSimple(o, o.topic, o.simpleGroup)
	seen, acked := newTally(), newTally()
	receiveUntil(o, consumer, 1, func() bool { return acked.complete(o.count, 1) }, func(message *rmq.MessageView) error {
		body := string(message.GetBody())
		if seen.add(body) == 1 && body == failing {
			emit("failed", fields{"via": "simple", "body": body})
			return consumer.ChangeInvisibleDuration(message, o.change)
		}
		emit("consumed", fields{"via": "simple", "body": body})
		if err := consumer.Ack(context.Background(), message); err != nil {
			return err
		}
		acked.add(body)
		return nil
	})
	acked.wait(o.count, 1)
}

func priority(o options) {
	producer := startProducer(o)
	for index := 0; index < o.count; index++ {
		message := &rmq.Message{Topic: o.topic, Body: []byte(fmt.Sprintf("%s-%d", o.run, index))}
		priority := 1 + index*7%15 // Each of 1 to 15, in no order.
		if err := message.SetPriority(int32(priority)); err != nil {
			fail("set priority", err)
		}
		receipts, err := producer.Send(context.Background(), message)
		if err != nil {
			fail("send", err)
		}
		emit("sent", fields{"id": receipts[0].MessageID, "body": string(message.Body), "tag": nil, "priority": priority})
	}

	consumer := startSimple(o, o.topic, o.group)
	acked := newTally()
	for answer := 1; !acked.complete(o.count, 1); answer++ {
		// This client says how long it waits by its deadline alone, which would be 3 s more.
		ctx, cancel := context.WithTimeout(context.Background(), o.await+time.Second)
		messages, err := receiveWithin(ctx, o, consumer, priorityBatch)
		cancel()
		if err != nil {
			fail("receive", err)
		}
		for _, message := range messages { // It does not show the priority.
			emit("received", with(received(message, "simple"), "answer", answer))
		}
		for _, message := range messages {
			if err := consumer.Ack(context.Background(), message); err != nil {
				fail("ack", err)
			}
			acked.add(string(message.GetBody()))
		}
	}
}

func wrongType(o options) {
	producer := startProducer(o)
	messageTo := func(topic, body, messageGroup string) *rmq.Message {
		message := &rmq.Message{Topic: topic, Body: []byte(o.run + "-" + body)}
		if messageGroup != "" {
			message.SetMessageGroup(messageGroup)
		}
		return message
	}
	attempt := func(name, topic, messageGroup string) {
		if _, err := producer.Send(context.Background(), messageTo(topic, name, messageGroup)); err != nil {
			emit("refused", with(describe(err), "case", name))
		} else {
			emit("accepted", fields{"case": name})
		}
	}
	attempt("fifo-to-normal", o.topic, "g0")
	attempt("normal-to-fifo", o.fifoTopic, "")
	for _, message := range []*rmq.Message{messageTo(o.topic, "normal", ""), messageTo(o.fifoTopic, "fifo", "g0")} {
		if err := send(producer, message); err != nil {
			fail("send", err)
		}
	}
}

// members are two, each with a group of its own: they hear what is told to all, and each asks and is answered.
func members(o options) {
	heard, replied := newTally(), newTally()
	for _, name := range memberNames {
		filters := map[string]*rmq.FilterExpression{
			o.topic: rmq.NewFilterExpression("news"), o.replyTopic: rmq.NewFilterExpression(name)}
		startPushOf(o, "%MEMBER%"+o.run+"-"+name, filters, func(message *rmq.MessageView) bool {
			body := string(message.GetBody())
			event := fields{"member": name, "id": message.GetMessageId(), "body": body}
			if message.GetTopic() == o.topic {
				emit("heard", event)
				heard.add(name + body)
			} else {
				emit("replied", with(event, "correlation", message.GetProperties()["correlation_id"]))
				replied.add(name + body)
			}
			return true
		})
	}
	producer := startProducer(o)
	startPushOf(o, o.group, filter(o.topic, "ask"), func(message *rmq.MessageView) bool {
		properties := message.GetProperties()
		reply := &rmq.Message{Topic: properties["reply_topic"], Body: append([]byte("re:"), message.GetBody()...)}
		reply.SetTag(properties["reply_tag"])
		reply.AddProperty("correlation_id", properties["correlation_id"])
		if _, err := producer.Send(context.Background(), reply); err != nil {
			fail("answer", err)
		}
		return true
	})
	tagged := func(body, tag string) *rmq.Message {
		message := &rmq.Message{Topic: o.topic, Body: []byte(body)}
		message.SetTag(tag)
		return message
	}
	for index := 0; index < o.count; index++ {
		if err := send(producer, tagged(fmt.Sprintf("%s-%d", o.run, index), "news")); err != nil {
			fail("send", err)
		}
		for _, name := range memberNames {
			request := tagged(fmt.Sprintf("%s-%s-%d", o.run, name, index), "ask")
			request.AddProperty("correlation_id", fmt.Sprintf("%s-%d", name, index))
			request.AddProperty("reply_topic", o.replyTopic)
			request.AddProperty("reply_tag", name)
			if err := send(producer, request); err != nil {
				fail("send", err)
			}
		}
	}
	heard.wait(len(memberNames)*o.count, 1)
	replied.wait(len(memberNames)*o.count, 1)
}

func props(o options) {
	bodies := newTally()
	startPush(o, func(message *rmq.MessageView) bool {
		if tag := message.GetTag(); tag != nil && *tag == bytesTag {
			emit("received-bytes", with(outline(message.GetBody()), "id", message.GetMessageId()))
			bodies.add(message.GetMessageId())
			return true
		}
		keys := append([]string{}, message.GetKeys()...)
		sort.Strings(keys)
		event := with(received(message, "push"), "tag", message.GetTag())
		emit("received", with(with(event, "keys", keys), "properties", message.GetProperties()))
		bodies.add(string(message.GetBody()))
		return true
	})
	message := &rmq.Message{Topic: o.topic, Body: []byte(o.body)}
	message.SetTag(o.tag)
	message.SetKeys(strings.Split(o.keys, ",")...)
	for _, pair := range strings.Split(o.properties, ",") {
		name, value, _ := strings.Cut(pair, "=")
		message.AddProperty(name, value)
	}
	producer := startProducer(o)
	if err := send(producer, message); err != nil {
		fail("send", err)
	}

	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	sent := [][]byte{every, {0}, []byte(strings.Repeat("x", largeBody))}
	for _, body := range sent {
		message := &rmq.Message{Topic: o.topic, Body: body}
		message.SetTag(bytesTag)
		producer.SendAsync(context.Background(), message, func(_ context.Context, receipts []*rmq.SendReceipt, err error) {
			if err != nil {
				fail("send asynchronously", err)
			}
			emit("sent-bytes", with(with(outline(body), "id", receipts[0].MessageID), "how", "async"))
		})
	}
	bodies.wait(1+len(sent), 1)
}

func outline(body []byte) fields {
	return fields{"bytes": len(body), "adler32": adler32.Checksum(body)}
}

func errors(o options) {
	producer := startProducer(o)
	try := func(name string, message *rmq.Message) {
		if _, err := producer.Send(context.Background(), message); err != nil {
			emit("refused", with(describe(err), "case", name))
		} else {
			emit("accepted", fields{"case": name})
		}
	}
	attempt := func(name, topic string, body []byte) { try(name, &rmq.Message{Topic: topic, Body: body}) }
	attempt("illegal-topic", "bad.topic", []byte("x"))
	attempt("oversize-body", o.topic, []byte(strings.Repeat("x", maxBodyBytes+1)))
	attempt("unknown-topic", o.topic+"-unknown", []byte("x"))
	attempt("long-topic", strings.Repeat("x", 128), []byte("x"))
	attempt("empty-body", o.topic, nil)
	tagged := &rmq.Message{Topic: o.topic, Body: []byte("x")}
	tagged.SetTag("a|b")
	try("illegal-tag", tagged)

	// A consumer ends while it polls. What is sent afterwards must not go to it.
	ending := startSimple(o, o.topic, o.group)
	go func() { _, _ = ending.Receive(context.Background(), 1, o.invisible) }() // How it ends is the client's matter.
	time.Sleep(500 * time.Millisecond)
	began := time.Now()
	if err := ending.GracefulStop(); err != nil {
		fail("close", err)
	}
	emit("closed", fields{"seconds": time.Since(began).Seconds()})
	if err := send(producer, &rmq.Message{Topic: o.topic, Body: []byte(o.run + "-after")}); err != nil {
		fail("send", err)
	}
	consumer := startSimple(o, o.topic, o.group)
	acked := newTally()
	receiveUntil(o, consumer, batch, func() bool { return acked.complete(1, 1) }, func(message *rmq.MessageView) error {
		if err := consumer.Ack(context.Background(), message); err != nil {
			return err
		}
		acked.add(string(message.GetBody()))
		return nil
	})
	acked.wait(1, 1)
}

func startLite(o options, topic, group string, consume func(*rmq.MessageView)) rmq.LitePushConsumer {
	return startLiteOf(o, topic, group, func(message *rmq.MessageView) rmq.ConsumerResult {
		consume(message)
		return rmq.SUCCESS
	})
}

func startLiteOf(o options, topic, group string, consume func(*rmq.MessageView) rmq.ConsumerResult) rmq.LitePushConsumer {
	listener := &rmq.FuncMessageListener{Consume: consume}
	return started("start lite push consumer", func() (rmq.LitePushConsumer, error) {
		return rmq.NewLitePushConsumer(config(o.consumerEndpoint, group), rmq.NewLitePushConsumerConfig(topic, 30*time.Second),
			rmq.WithPushAwaitDuration(o.await), rmq.WithPushMessageListener(listener))
	})
}

func sendLite(producer rmq.Producer, topic, lite, body string) error {
	message := &rmq.Message{Topic: topic, Body: []byte(body)}
	message.SetLiteTopic(lite)
	receipts, err := producer.Send(context.Background(), message)
	if err != nil {
		return err
	}
	emit("sent", fields{"id": receipts[0].MessageID, "body": body, "tag": nil, "lite": lite})
	return nil
}

func emitReceivedLite(message *rmq.MessageView) {
	emit("received", with(received(message, "lite"), "lite", message.GetLiteTopic()))
}

func lite(o options) {
	bodies := newTally()
	consumer := startLite(o, o.topic, o.group, func(message *rmq.MessageView) {
		if indexOf(string(message.GetBody())) == 0 {
			time.Sleep(300 * time.Millisecond) // What follows would overtake it.
		}
		emitReceivedLite(message)
		bodies.add(string(message.GetBody()))
	})
	producer := startProducer(o)
	subscribe := func(lite string) {
		emit("subscribing", fields{"lite": lite})
		if err := consumer.SubscribeLite(lite); err != nil {
			fail("subscribe", err)
		}
	}
	unsubscribe := func(lite string) {
		if err := consumer.UnSubscribeLite(lite); err != nil {
			fail("unsubscribe", err)
		}
		emit("unsubscribed", fields{"lite": lite})
	}
	attempt := func(name, lite string) {
		if err := consumer.SubscribeLite(lite); err != nil {
			emit("refused", with(describe(err), "case", name))
		} else {
			emit("accepted", fields{"case": name})
		}
	}
	sendOne := func(lite string, index int) {
		if err := sendLite(producer, o.topic, lite, fmt.Sprintf("%s-%s-%d", o.run, lite, index)); err != nil {
			fail("send", err)
		}
	}

	subscribe("a")
	subscribe("b")
	for index := 0; index < o.count; index++ {
		for _, lite := range liteTopics {
			sendOne(lite, index)
		}
	}
	bodies.wait(2*o.count, 1)
	subscribe("c")
	bodies.wait(3*o.count, 1)
	unsubscribe("a")
	sendOne("a", o.count)
	sendOne("b", o.count)
	bodies.wait(3*o.count+1, 1)
	subscribe("d")
	bodies.wait(4*o.count+1, 1)
	attempt("over-quota", "e")
	attempt("long-lite-topic", strings.Repeat("x", 65))
	unsubscribe("c")
	subscribe("a")
	bodies.wait(4*o.count+2, 1)
}

// The first message is put off three times.
func liteSuspend(o options) {
	seen, done := newTally(), newTally()
	consumer := startLiteOf(o, o.topic, o.group, func(message *rmq.MessageView) rmq.ConsumerResult {
		emitReceivedLite(message)
		body := string(message.GetBody())
		if times := seen.add(body); indexOf(body) == 0 && times <= 3 {
			return rmq.NewConsumerResultSuspend(200 * time.Millisecond)
		}
		done.add(body)
		return rmq.SUCCESS
	})
	if err := consumer.SubscribeLite("a"); err != nil {
		fail("subscribe", err)
	}
	producer := startProducer(o)
	for index := 0; index < o.count; index++ {
		if err := sendLite(producer, o.topic, "a", fmt.Sprintf("%s-a-%d", o.run, index)); err != nil {
			fail("send", err)
		}
	}
	done.wait(o.count, 1)
}

// autoRenew has a listener that holds what it is given: as long as it is told, or until the driver kills this program.
func autoRenew(o options) {
	done := newTally()
	startPush(o, func(message *rmq.MessageView) bool {
		emit("received", received(message, "push"))
		time.Sleep(o.hold)
		body := string(message.GetBody())
		emit("consumed", fields{"via": "push", "body": body})
		done.add(body)
		return true
	})
	if o.count > 0 {
		sendAll(o, startProducer(o))
	}
	done.wait(max(o.count, 1), 1)
	time.Sleep(o.linger) // For what should not come again, and for the acknowledgement.
}

// goaway sends for a while over connections that end, to a push consumer and a simple one; what fails is said, and then it goes on.
func goaway(o options) {
	pushed, acked := newTally(), newTally()
	startPush(o, func(message *rmq.MessageView) bool {
		emit("received", received(message, "push"))
		pushed.add(string(message.GetBody()))
		return true
	})
	consumer := startSimple(o, o.topic, o.simpleGroup)
	producer := startProducer(o)
	for i := 0; i < o.receivers; i++ {
		go receiveForever(o, consumer, func(body string) { acked.add(body) })
	}
	sent := 0
	for index := 0; index < o.count; index++ {
		body := fmt.Sprintf("%s-%d", o.run, index)
		if err := send(producer, &rmq.Message{Topic: o.topic, Body: []byte(body)}); err != nil {
			emit("send-failed", with(describe(err), "body", body))
		} else {
			sent++
		}
		time.Sleep(o.pause)
	}
	pushed.wait(sent, 1)
	acked.wait(sent, 1)
}

// receiveForever says what failed and goes on; acked is told of what it acknowledged.
func receiveForever(o options, consumer rmq.SimpleConsumer, acked func(body string)) {
	for {
		messages, err := receive(o, consumer, batch)
		for _, message := range messages {
			emit("received", received(message, "simple"))
			if ackErr := consumer.Ack(context.Background(), message); ackErr != nil {
				err = ackErr
			} else {
				acked(string(message.GetBody()))
			}
		}
		if err != nil {
			emit("receive-failed", describe(err))
			time.Sleep(200 * time.Millisecond)
		}
	}
}

func loop(o options) {
	startPush(o, func(message *rmq.MessageView) bool {
		emit("received", received(message, "push"))
		return true
	})
	if err := startLite(o, o.liteTopic, o.liteGroup, emitReceivedLite).SubscribeLite("a"); err != nil {
		fail("subscribe", err)
	}
	consumer := startSimple(o, o.topic, o.simpleGroup)
	producer := startProducer(o)

	for i := 0; i < o.receivers; i++ {
		go receiveForever(o, consumer, func(string) {})
	}

	index := 0
	for ; !stopped.Load(); index++ {
		body := fmt.Sprintf("%s-%d", o.run, index)
		if err := send(producer, &rmq.Message{Topic: o.topic, Body: []byte(body)}); err != nil {
			emit("send-failed", with(describe(err), "body", body))
		}
		if index%liteEvery == 0 {
			body := fmt.Sprintf("%s-lite-%d", o.run, index)
			if err := sendLite(producer, o.liteTopic, "a", body); err != nil {
				emit("send-failed", with(describe(err), "body", body))
			}
		}
		time.Sleep(o.pause)
	}
	emit("stopped", fields{"sends": index})
	select {} // Keep consuming until stdin closes.
}

func now() float64 { return float64(time.Now().UnixNano()) / 1e9 }

func indexOf(body string) int {
	index, err := strconv.Atoi(body[strings.LastIndex(body, "-")+1:])
	if err != nil {
		fail("read a body", err)
	}
	return index
}

func commitsMixed(index int) bool { return index%2 == 0 }

// returnsMixed says which deliveries are given back: to be tried again, to die, to hold up their message group.
func returnsMixed(via string, index, attempt int) bool {
	return (via == "retry" && (index%5 == 0 || attempt == 1)) || (via == "fifo" && index%17 == 5 && attempt == 1) ||
		(via == "push" && index%7 == 3 && attempt == 1)
}

func mixed(o options) {
	kinds := strings.Split(o.kinds, ",")
	topicOf := func(kind string) string { return o.topic + "-" + kind }
	topics := []string{}
	for _, kind := range append(append([]string{}, kinds...), "reply") {
		topics = append(topics, topicOf(kind))
	}
	// What it would have done itself; of any producer's transaction, since whoever lives is asked.
	check := func(message *rmq.MessageView) rmq.TransactionResolution {
		body := string(message.GetBody())
		answer, resolution := "rollback", rmq.ROLLBACK
		if commitsMixed(indexOf(body)) {
			answer, resolution = "commit", rmq.COMMIT
		}
		emit("checked", fields{"id": message.GetMessageId(), "body": body, "answer": answer})
		return resolution
	}
	producer := started("start producer", func() (rmq.Producer, error) {
		return rmq.NewProducer(config(o.endpoint, ""), rmq.WithTopics(topics...),
			rmq.WithTransactionChecker(&rmq.TransactionChecker{Check: check}))
	})

	settleAll := func(consumer rmq.SimpleConsumer, via string, messages []*rmq.MessageView, asked float64) {
		for place, message := range messages {
			event := received(message, via)
			event["asked"], event["wall"], event["place"] = asked, now(), place
			event["answer"] = fmt.Sprintf("%s %f", o.run, asked)
			emit("received", event)
		}
		for _, message := range messages {
			body, attempt := string(message.GetBody()), int(message.GetDeliveryAttempt())
			event := fields{"via": via, "body": body, "attempt": attempt, "begun": now()}
			var err error
			what := "ack"
			if returnsMixed(via, indexOf(body), attempt) {
				what = "return"
				err = consumer.ChangeInvisibleDuration(message, o.change)
			} else {
				err = consumer.Ack(context.Background(), message)
			}
			if err == nil {
				emit(what+"ed", event)
				continue
			}
			for key, value := range describe(err) {
				event[key] = value
			}
			emit(what+"-failed", event)
			if via == "fifo" {
				return // What follows would overtake it.
			}
		}
	}
	receiveAll := func(consumer rmq.SimpleConsumer, via string) {
		for {
			asked := now()
			messages, err := receive(o, consumer, 16)
			if err != nil {
				emit("receive-failed", with(describe(err), "via", via))
				time.Sleep(200 * time.Millisecond)
			}
			settleAll(consumer, via, messages, asked)
		}
	}
	startConsumer := func(via string) {
		topic, expression := topicOf(via), rmq.SUB_ALL
		switch via {
		case "tag":
			topic, expression = topicOf("normal"), rmq.NewFilterExpression(o.expression)
		case "sql":
			topic, expression = topicOf("normal"), rmq.NewFilterExpressionWithType(o.sql, rmq.SQL92)
		case "dead":
			topic = "%DLQ%" + o.group + "-retry"
		}
		consumer := started("start simple consumer of "+via, func() (rmq.SimpleConsumer, error) {
			return rmq.NewSimpleConsumer(config(o.consumerEndpoint, o.group+"-"+via), rmq.WithSimpleAwaitDuration(o.await),
				rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: expression}))
		})
		for i := 0; i < o.receivers; i++ {
			go receiveAll(consumer, via)
		}
	}

	// The answer's body says whose request it answers, and which attempt: so each answer is another one.
	answer := func(request *rmq.MessageView) error {
		parts := strings.Split(string(request.GetBody()), "-")
		body := fmt.Sprintf("reply-%s.%d-%s", parts[1], request.GetDeliveryAttempt(), parts[2])
		reply := &rmq.Message{Topic: topicOf("reply"), Body: []byte(body)}
		reply.SetTag(parts[1])
		receipts, err := producer.Send(context.Background(), reply)
		if err == nil {
			emit("sent", fields{"id": receipts[0].MessageID, "body": body})
		}
		return err
	}
	consume := func(via string, message *rmq.MessageView) bool {
		body, attempt := string(message.GetBody()), int(message.GetDeliveryAttempt())
		emit("received", with(received(message, via), "wall", now()))
		returns := returnsMixed(via, indexOf(body), attempt)
		if via == "request" {
			if err := answer(message); err != nil {
				emit("send-failed", with(describe(err), "body", body))
				returns = true
			}
		}
		what := "consumed"
		if returns {
			what = "returned"
		}
		emit(what, fields{"via": via, "body": body, "attempt": attempt, "begun": now()})
		return !returns
	}
	startPushed := func(via, group, kind, tag string) {
		startPushOf(o, group, filter(topicOf(kind), tag), func(message *rmq.MessageView) bool { return consume(via, message) })
	}
	startReader := func() {
		reader := startLite(o, topicOf("lite"), o.group+"-lite", func(message *rmq.MessageView) { consume("lite", message) })
		for _, lite := range strings.Split(o.liteNames, ",") {
			if err := reader.SubscribeLite(lite); err != nil {
				fail("subscribe", err)
			}
		}
	}
	for _, via := range strings.Split(o.groups, ",") {
		switch via {
		case "push":
			startPushed(via, o.group+"-push", "normal", "*")
		case "push-fifo":
			startPushed(via, o.group+"-push-fifo", "fifo", "*")
		case "request":
			startPushed(via, o.group+"-request", "request", "*")
		case "reply":
			startPushed(via, "%MEMBER%"+o.group+"-"+o.run, "reply", o.run)
		case "lite":
			startReader()
		default:
			startConsumer(via)
		}
	}

	messageOf := func(kind string, index int) *rmq.Message {
		message := &rmq.Message{Topic: topicOf(kind), Body: []byte(fmt.Sprintf("%s-%s-%d", kind, o.run, index))}
		switch kind {
		case "normal":
			message.SetTag("cab"[index%3 : index%3+1])
			message.AddProperty("number", fmt.Sprint(index))
		case "fifo":
			message.SetMessageGroup(fmt.Sprintf("%s-%d", o.run, index%messageGroups))
		case "delay":
			due := time.Now().Unix() + 2 + int64(index%4)
			message.SetDelayTimestamp(time.Unix(due, 0))
			emit("scheduled", fields{"body": string(message.Body), "due": due})
		case "priority":
			if err := message.SetPriority(int32(1 + index%15)); err != nil {
				fail("set priority", err)
			}
		case "lite":
			message.SetLiteTopic(o.run)
		}
		return message
	}
	sendOne := func(kind string, index int) error {
		message := messageOf(kind, index)
		body := string(message.Body)
		if kind != "transaction" {
			receipts, err := producer.Send(context.Background(), message)
			if err != nil {
				return err
			}
			emit("sent", fields{"id": receipts[0].MessageID, "body": body})
			if kind == "delay" && index%4 == 1 {
				if _, err := producer.Recall(context.Background(), message.Topic, receipts[0].RecallHandle); err != nil {
					emit("recall-failed", with(describe(err), "body", body))
				} else {
					emit("recalled", fields{"body": body})
				}
			}
			return nil
		}
		opened := producer.BeginTransaction()
		receipts, err := producer.SendWithTransaction(context.Background(), message, opened)
		if err != nil {
			return err
		}
		emit("sent", fields{"id": receipts[0].MessageID, "body": body})
		if index%4 >= 2 {
			return nil // Left to the check-back.
		}
		how, end := "rollback", opened.RollBack
		if commitsMixed(index) {
			how, end = "commit", opened.Commit
		}
		if err := end(); err != nil {
			emit("end-failed", with(describe(err), "body", body))
		} else {
			emit("ended", fields{"body": body, "how": how})
		}
		return nil
	}
	var senders sync.WaitGroup
	for _, kind := range kinds {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for index := 0; !stopped.Load(); index++ {
				if err := sendOne(kind, index); err != nil {
					emit("send-failed", with(describe(err), "body", fmt.Sprintf("%s-%s-%d", kind, o.run, index)))
				}
				time.Sleep(o.pause)
			}
		}()
	}
	senders.Wait()
	emit("stopped", nil)
	select {} // Keep consuming until stdin closes.
}

func obeyStdin() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "stop" {
			stopped.Store(true)
		}
	}
	os.Exit(0) // The driver is gone, or has seen enough.
}

var scenarios = map[string]func(options){"normal-push": normalPush, "simple": simple, "tags": tags, "retry": retry,
	"dlq": dlq, "delay": delay, "recall": recall, "transaction": transaction, "fifo": fifo, "priority": priority,
	"members": members, "props": props, "errors": errors, "wrong-type": wrongType, "lite": lite, "lite-suspend": liteSuspend,
	"auto-renew": autoRenew, "goaway": goaway, "loop": loop, "mixed": mixed}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

func parse(arguments []string) options {
	var o options
	var await, invisible, change, pause, delay, hold, linger float64
	flags := flag.NewFlagSet("conformance", flag.ExitOnError)
	flags.StringVar(&o.endpoint, "endpoint", "", "")
	flags.StringVar(&o.consumerEndpoint, "consumer-endpoint", "", "")
	flags.StringVar(&o.topic, "topic", "", "")
	flags.StringVar(&o.replyTopic, "reply-topic", "", "")
	flags.StringVar(&o.fifoTopic, "fifo-topic", "", "")
	flags.StringVar(&o.liteTopic, "lite-topic", "", "")
	flags.StringVar(&o.liteGroup, "lite-group", "", "")
	flags.StringVar(&o.liteNames, "lite-names", "", "")
	flags.StringVar(&o.kinds, "kinds", "", "")
	flags.StringVar(&o.groups, "groups", "", "")
	flags.StringVar(&o.group, "group", "", "")
	flags.StringVar(&o.simpleGroup, "simple-group", "", "")
	flags.StringVar(&o.deadGroup, "dead-group", "", "")
	flags.StringVar(&o.run, "run", "", "")
	flags.IntVar(&o.count, "count", 1, "")
	flags.IntVar(&o.receivers, "receivers", 1, "")
	flags.Float64Var(&await, "await", 5, "")
	flags.Float64Var(&invisible, "invisible", 10, "")
	flags.Float64Var(&change, "change", 5, "")
	flags.Float64Var(&delay, "delay", 3, "")
	flags.Float64Var(&pause, "pause", 0.02, "")
	flags.Float64Var(&hold, "hold", 0, "")
	flags.Float64Var(&linger, "linger", 0, "")
	flags.StringVar(&o.expression, "expression", "*", "")
	flags.StringVar(&o.sql, "sql", "", "")
	flags.IntVar(&o.sqlCount, "sql-count", 0, "")
	flags.StringVar(&o.body, "body", "", "")
	flags.StringVar(&o.tag, "tag", "", "")
	flags.StringVar(&o.keys, "keys", "", "")
	flags.StringVar(&o.properties, "properties", "", "")
	_ = flags.Parse(arguments)
	o.await, o.invisible, o.change, o.pause = seconds(await), seconds(invisible), seconds(change), seconds(pause)
	o.delay, o.hold, o.linger = seconds(delay), seconds(hold), seconds(linger)
	if o.consumerEndpoint == "" {
		o.consumerEndpoint = o.endpoint
	}
	return o
}

func main() {
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "the first argument is a scenario; see README.md")
		os.Exit(2)
	}
	rmq.EnableSsl = os.Getenv("CONFORMANCE_TLS") == "on" // The default of this client.
	// Names with dots, which a shell cannot export. Everything else would go to a file under the home directory.
	os.Setenv("rocketmq.client.logLevel", "warn")
	rmq.ResetLogger()

	go obeyStdin()
	scenarios[os.Args[1]](parse(os.Args[2:]))
	emit("done", nil)
	os.Exit(0)
}
