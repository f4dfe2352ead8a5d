#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "cli/bench/calls.h"
#include "cli/bench/echo_server.h"
#include "cli/bench/pacer.h"
#include "cli/bench/process_cpu.h"
#include "cli/bench/receive_load.h"
#include "cli/bench/report.h"
#include "cli/bench/send_load.h"
#include "cli/bench/transaction_load.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

// In an open loop: what is more than this waits at the client, and its latency counts on.
constexpr int kMaxOpenLoopOutstanding = 4096;
constexpr int kFillOutstanding = 64;
constexpr int kFillBatch = 32;

struct BenchOptions {
  int64_t size = 1024;
  int outstanding = 64;
  int channels = 4;
  int threads = 1;
  absl::Duration duration = absl::Seconds(10);
  absl::Duration warm_up = absl::Seconds(1);
  int rounds = 0;
  bool baseline = false;
  double rate = 0;
  int64_t backlog = 0;
  int batch = 32;
  std::string ack = "batch";
  std::string type = "normal";
  int64_t groups = 1000;
  int matching = 0;
  int64_t timers = 0;
  absl::Duration ahead;
  absl::Duration spread;
  std::vector<std::string> server_pids;
};

// Where a round runs: the server under test or the echo.
struct Target {
  Dialer dialer;
  std::string endpoint;
  std::vector<pid_t> pids;  // Empty: not known.
  std::vector<v2::MessageQueue> shards;
};

absl::Duration CpuOf(const std::vector<pid_t>& pids) {
  if (pids.empty()) return -absl::InfiniteDuration();
  absl::Duration sum;
  for (const pid_t pid : pids) {
    const absl::StatusOr<absl::Duration> cpu = CpuTime(pid);
    if (!cpu.ok()) return -absl::InfiniteDuration();
    sum += *cpu;
  }
  return sum;
}

// The lanes of one round, and its phases.
class LoadRun {
 public:
  LoadRun(const BenchOptions& options, const Client& client, const Target& target, const std::atomic<bool>* interrupted)
      : pids_(target.pids), interrupted_(interrupted) {
    LaneOptions lane;
    lane.dialer = target.dialer;
    lane.endpoint = target.endpoint;
    lane.client_id = client.id();
    lane.space = client.options().space;
    lane.channels = std::max(1, options.channels / options.threads);
    for (int i = 0; i < options.threads; ++i) lanes_.push_back(std::make_unique<Lane>(lane, &phase_));
  }

  std::vector<Lane*> lanes() const {
    std::vector<Lane*> lanes;
    for (const auto& lane : lanes_) lanes.push_back(lane.get());
    return lanes;
  }

  void WarmUp(absl::Duration duration) { Sleep(duration, nullptr); }

  // Measures until `duration` is over or `is_enough`, which may be empty, says so.
  void Measure(absl::Duration duration, const std::function<bool()>& is_enough, Round* round) {
    const absl::Duration server_before = CpuOf(pids_);
    const absl::Duration client_before = OwnCpuTime();
    const absl::Duration start = RealClock()->SinceBoot();
    phase_ = Phase::kMeasuring;
    Sleep(duration, is_enough);
    phase_ = Phase::kStopping;
    round->elapsed = RealClock()->SinceBoot() - start;
    round->client_cpu = OwnCpuTime() - client_before;
    const absl::Duration server_after = CpuOf(pids_);
    if (server_before >= absl::ZeroDuration()) round->server_cpu = server_after - server_before;
  }

  // Waits for the calls that are under way, and takes what was measured.
  void Finish(Round* round) {
    phase_ = Phase::kStopping;
    WaitUntilIdle();
    for (const auto& lane : lanes_) round->meter.Merge(lane->meter());
  }

  void WaitUntilIdle() const {
    const auto is_idle = [](const auto& lane) { return lane->active() == 0; };
    while (!std::all_of(lanes_.begin(), lanes_.end(), is_idle)) absl::SleepFor(absl::Milliseconds(2));
  }

 private:
  void Sleep(absl::Duration duration, const std::function<bool()>& is_enough) const {
    const absl::Duration end = RealClock()->SinceBoot() + duration;
    while (!*interrupted_ && !(is_enough && is_enough())) {
      const absl::Duration left = end - RealClock()->SinceBoot();
      if (left <= absl::ZeroDuration()) return;
      absl::SleepFor(std::min(left, absl::Milliseconds(5)));
    }
  }

  const std::vector<pid_t> pids_;
  const std::atomic<bool>* const interrupted_;
  std::atomic<Phase> phase_ = Phase::kWarmUp;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

// A topic and a group of the bench's own, gone with it.
class Workplace {
 public:
  static absl::StatusOr<std::unique_ptr<Workplace>> Create(Client* client, admin::TopicType type) {
    const std::string name = absl::StrCat("bench-", absl::BytesToHexString(RealRandom()->Bytes(4)));
    admin::CreateTopicRequest topic;
    *topic.mutable_name() = client->Name(name);
    topic.set_type(type);
    RETURN_IF_ERROR(client->Call(&admin::Admin::Stub::CreateTopic, topic).status());
    std::unique_ptr<Workplace> workplace(new Workplace(client, name));
    admin::CreateGroupRequest group;
    *group.mutable_name() = topic.name();
    group.mutable_start()->set_first(true);
    if (type == admin::FIFO) group.set_order(admin::DELIVERY_ORDER_FIFO);
    RETURN_IF_ERROR(client->Call(&admin::Admin::Stub::CreateGroup, group).status());
    return workplace;
  }

  // What cannot be deleted is named on stderr: a bench's figures are worth more than its leftovers.
  ~Workplace() {
    admin::DeleteGroupRequest group;
    *group.mutable_name() = client_->Name(name_);
    admin::DeleteTopicRequest topic;
    *topic.mutable_name() = client_->Name(name_);
    const absl::Status group_deleted = client_->Call(&admin::Admin::Stub::DeleteGroup, group).status();
    const absl::Status topic_deleted = client_->Call(&admin::Admin::Stub::DeleteTopic, topic).status();
    if (group_deleted.ok() && topic_deleted.ok()) return;
    fprintf(
        stderr,
        "baridctl: the topic and group %s may be left over, delete them with baridctl topic delete and group delete.\n",
        name_.c_str());
  }

  const std::string& name() const { return name_; }

 private:
  Workplace(Client* client, std::string name) : client_(client), name_(std::move(name)) {}

  Client* const client_;
  const std::string name_;
};

// What all benches have in common. A bench says what a round does.
class Bench : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("size", &options_.size, Default(1 * kKiB), Between(ByteSize(1), 64 * kMiB), "Of a message's body.");
    flags->Add("duration", &options_.duration, Default(absl::Seconds(10)),
               Between(absl::Milliseconds(100), absl::Hours(24)), "How long one round measures.");
    flags->Add("warm_up", &options_.warm_up, Default(absl::Seconds(1)), Between(absl::ZeroDuration(), absl::Hours(1)),
               "How long a round runs before it measures.");
    flags->Add("rounds", &options_.rounds, Default(0), Between(0, 1000), "0: 5 with --baseline, else 1.");
    flags->Add("channels", &options_.channels, Default(4), Between(1, 256), "Connections.");
    flags->Add("threads", &options_.threads, Default(1), Between(1, 16), "Threads of the client.");
    flags->Add(
        "server_pid", &options_.server_pids, Default(std::vector<std::string>()),
        "Whose CPU to measure, several between commas. Without: who listens on the endpoint's port, if it is here.");
    AddOwnFlags(flags);
  }

  absl::Status Run(const FlagSet&, absl::Span<const std::string>, Session* session) override {
    if (options_.rounds == 0) options_.rounds = options_.baseline ? 5 : 1;
    Target server;
    for (const std::string& text : options_.server_pids) {
      pid_t pid = 0;
      if (!absl::SimpleAtoi(text, &pid) || !CpuTime(pid).ok()) {
        return UsageError(absl::StrCat("--server-pid has \"", text, "\", expected the numbers of running processes"));
      }
      server.pids.push_back(pid);
    }
    RETURN_IF_ERROR(Check());

    OnInterrupt interrupt;
    interrupt.Do([this] { interrupted_ = true; });
    ASSIGN_OR_RETURN(client_, session->Connect());
    server.dialer = client_->dialer();
    server.endpoint = client_->options().endpoint;
    if (server.pids.empty()) server.pids = ListenersOf(server.endpoint);
    if (server.pids.empty()) {
      session->err() << "baridctl: nobody is seen to listen at " << server.endpoint
                     << " on this machine, so there is no server CPU; name the process with --server-pid.\n";
    }
    ASSIGN_OR_RETURN(const std::unique_ptr<EchoProcess> echo_process, StartEcho());
    BenchReport report;
    report.bench = name();
    report.description = Description();
    for (int i = 0; i < options_.rounds && !interrupted_; ++i) {
      ASSIGN_OR_RETURN(Figures figures, ServerRound(&server));
      report.server.push_back(std::move(figures));
      if (!options_.baseline || interrupted_) continue;
      Target echo{echo_process->dialer(), echo_process->endpoint(), {echo_process->pid()}, {v2::MessageQueue()}};
      ASSIGN_OR_RETURN(figures, Figured(RunRound(echo, "bench")));
      report.echo.push_back(std::move(figures));
    }
    if (interrupted_) return RefusedError("the bench was interrupted, its figures are not complete");
    if (session->json()) {
      PrintReportJson(report, session->out());
    } else {
      PrintReport(report, session->out());
    }
    return absl::OkStatus();
  }

 protected:
  virtual std::string name() const = 0;
  virtual std::string Description() const = 0;
  virtual void AddOwnFlags(FlagSet* flags) = 0;
  virtual absl::Status Check() { return absl::OkStatus(); }
  virtual admin::TopicType topic_type() const { return admin::NORMAL; }
  // What makes messages of a run differ; nothing if only their ids do.
  virtual SendRequests::Vary Variation() const { return nullptr; }
  // Runs against `target`, with a topic and group called `workplace` there.
  virtual absl::StatusOr<Round> RunRound(const Target& target, const std::string& workplace) = 0;

  v2::Message MessageFor(const std::string& topic) const {
    v2::Message message;
    *message.mutable_topic() = client_->Resource(topic);
    message.set_body(std::string(options_.size, 'b'));
    v2::SystemProperties* const system = message.mutable_system_properties();
    system->set_message_type(static_cast<v2::MessageType>(topic_type()));  // The numbers are the same.
    system->set_body_encoding(v2::IDENTITY);
    system->set_born_host("localhost");
    ToProto(RealClock()->Now(), system->mutable_born_timestamp());
    return message;
  }

  SendRequests RequestsFor(const std::string& topic) const {
    return SendRequests(MessageFor(topic), static_cast<uint32_t>(RealRandom()->Next()), Variation());
  }

  // Puts messages there that are not measured.
  absl::Status Fill(const Target& target, const std::string& topic, int64_t messages) {
    if (messages == 0) return absl::OkStatus();
    filled_run_ = static_cast<uint32_t>(RealRandom()->Next());
    const SendRequests requests(MessageFor(topic), filled_run_, Variation());
    LoadRun run(options_, *client_, target, &interrupted_);
    SendLoad load(run.lanes(), &requests);
    load.StartClosedLoop(kFillOutstanding, kFillBatch, messages);
    run.WaitUntilIdle();
    Round round;
    run.Finish(&round);
    if (round.meter.errors == 0) return absl::OkStatus();
    return RefusedError(absl::StrCat("the backlog could not be sent: ", round.meter.first_error));
  }

  ReceiveLoadOptions ReceiveOptionsFor(const Target& target, const std::string& workplace) const {
    ReceiveLoadOptions receive;
    receive.shards = target.shards;
    receive.group = client_->Resource(workplace);
    receive.topic = client_->Resource(workplace);
    receive.outstanding = options_.outstanding;
    receive.batch = options_.batch;
    receive.ack_singly = options_.ack == "single";
    return receive;
  }

  // The flags of benches whose messages may be ordered.
  void AddTypeFlags(FlagSet* flags) {
    flags->Add("type", &options_.type, Default("normal"), OneOf({"normal", "fifo"}), "Of the messages.");
    flags->Add("groups", &options_.groups, Default(int64_t{1000}), AtLeast(int64_t{1}),
               "With --type fifo: how many message groups they are of, in turn.");
  }
  bool is_fifo() const { return options_.type == "fifo"; }
  SendRequests::Vary MessageGroups() const {
    return [groups = options_.groups](uint64_t number, v2::Message* message) {
      message->mutable_system_properties()->set_message_group(
          absl::StrCat("g", number % static_cast<uint64_t>(groups)));
    };
  }
  std::string TypeText() const { return is_fifo() ? absl::StrCat(", ", options_.groups, " message groups") : ""; }

  BenchOptions options_;
  Client* client_ = nullptr;
  uint32_t filled_run_ = 0;  // Of the ids of the last Fill.
  std::atomic<bool> interrupted_ = false;

 private:
  absl::StatusOr<std::unique_ptr<EchoProcess>> StartEcho() const {
    if (!options_.baseline) return std::unique_ptr<EchoProcess>();
    EchoOptions echo;
    echo.body_bytes = static_cast<int>(options_.size);
    echo.batch = options_.batch;
    echo.tls = client_->dialer().is_tls();
    return EchoProcess::Start(OwnExecutable(), echo);
  }

  absl::StatusOr<Figures> ServerRound(Target* server) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Workplace> workplace, Workplace::Create(client_, topic_type()));
    ASSIGN_OR_RETURN(server->shards, client_->ShardsOf(workplace->name()));
    RETURN_IF_ERROR(Fill(*server, workplace->name(), options_.backlog));
    return Figured(RunRound(*server, workplace->name()));
  }

  absl::StatusOr<Figures> Figured(absl::StatusOr<Round> measured) const {
    ASSIGN_OR_RETURN(Round round, std::move(measured));
    round.body_bytes = options_.size;
    if (round.messages() == 0 && !interrupted_) {
      const std::string why = round.meter.first_error.empty() ? "no call was answered" : round.meter.first_error;
      return RefusedError(absl::StrCat("nothing was measured: ", why));
    }
    return FiguresOf(round);
  }
};

class BenchSend : public Bench {
 protected:
  std::string name() const override { return "send"; }

  std::string Description() const override {
    return absl::StrCat(BytesText(options_.size), " bodies, ",
                        options_.rate > 0 ? absl::StrCat(options_.rate, " messages/s in an open loop")
                                          : absl::StrCat(options_.outstanding, " outstanding"),
                        TypeText(), ", ", DurationText(options_.duration), " each");
  }

  admin::TopicType topic_type() const override { return is_fifo() ? admin::FIFO : admin::NORMAL; }
  SendRequests::Vary Variation() const override { return is_fifo() ? MessageGroups() : nullptr; }

  void AddOwnFlags(FlagSet* flags) override {
    AddTypeFlags(flags);
    flags->Add("outstanding", &options_.outstanding, Default(64), Between(1, 100000),
               "Calls at once, in a closed loop.");
    flags->Add(
        "rate", &options_.rate, Default(0.0), Between(0.0, 1e6),
        "Messages per second in an open loop, in place of --outstanding; latency counts from when a message was due.");
    flags->Add("backlog", &options_.backlog, Default(int64_t{0}), AtLeast(int64_t{0}),
               "Messages that are in the topic before it measures.");
    flags->Add("baseline", &options_.baseline, Default(false),
               "Measure a server that does nothing in turn, and the ratio.");
  }

  absl::StatusOr<Round> RunRound(const Target& target, const std::string& workplace) override {
    const SendRequests requests = RequestsFor(workplace);
    LoadRun run(options_, *client_, target, &interrupted_);
    SendLoad load(run.lanes(), &requests);
    std::unique_ptr<Pacer> pacer;
    if (options_.rate > 0) {
      pacer = std::make_unique<Pacer>(options_.rate, [&load](absl::Duration due) {
        while (load.outstanding() >= kMaxOpenLoopOutstanding) absl::SleepFor(absl::Milliseconds(1));
        load.SendOne(due);
      });
    } else {
      load.StartClosedLoop(options_.outstanding, /*batch=*/1, /*limit=*/0);
    }
    Round round;
    run.WarmUp(options_.warm_up);
    run.Measure(options_.duration, nullptr, &round);
    pacer.reset();
    run.Finish(&round);
    return round;
  }
};

class BenchReceive : public Bench {
 protected:
  std::string name() const override { return "receive"; }

  std::string Description() const override {
    return absl::StrCat(BytesText(options_.size), " bodies, batches of ", options_.batch, ", ",
                        options_.ack == "single" ? "one ack per message" : "one ack per batch", ", ",
                        options_.outstanding, " outstanding, backlog of ", options_.backlog, TypeText(),
                        options_.matching > 0 ? absl::StrCat(", an SQL filter takes ", options_.matching, " %") : "");
  }

  admin::TopicType topic_type() const override { return is_fifo() ? admin::FIFO : admin::NORMAL; }
  SendRequests::Vary Variation() const override {
    if (is_fifo()) return MessageGroups();
    if (options_.matching == 0) return nullptr;
    return [](uint64_t number, v2::Message* message) {
      (*message->mutable_user_properties())["n"] = absl::StrCat(number % 100);
    };
  }
  absl::Status Check() override {
    if (options_.matching == 0 || !is_fifo()) return absl::OkStatus();
    return UsageError("--matching goes with --type normal");
  }
  // Of the backlog.
  int64_t Wanted() const {
    if (options_.matching == 0) return options_.backlog;
    return options_.backlog / 100 * options_.matching + std::min<int64_t>(options_.backlog % 100, options_.matching);
  }

  void AddOwnFlags(FlagSet* flags) override {
    flags->Add("outstanding", &options_.outstanding, Default(4), Between(1, 10000), "Receives at once.");
    flags->Add("batch", &options_.batch, Default(32), Between(1, 1024), "Messages in a receive.");
    flags->Add("ack", &options_.ack, Default("batch"), OneOf({"batch", "single"}),
               "One call for a batch or one per message.");
    flags->Add("backlog", &options_.backlog, Default(int64_t{200000}), AtLeast(int64_t{1}),
               "Messages that are sent before it measures; a round ends when they are received.");
    flags->Add("matching", &options_.matching, Default(0), Between(0, 100),
               "Percent of the messages that an SQL filter takes, which is evaluated for each; 0: without a filter.");
    AddTypeFlags(flags);
    flags->Add("baseline", &options_.baseline, Default(false),
               "Measure a server that streams prepared messages in turn, and the ratio.");
  }

  // Without warm-up: it would take from the backlog. Connections are made with the first calls.
  absl::StatusOr<Round> RunRound(const Target& target, const std::string& workplace) override {
    LoadRun run(options_, *client_, target, &interrupted_);
    ReceiveLoadOptions receive = ReceiveOptionsFor(target, workplace);
    if (options_.matching > 0) receive.sql = absl::StrCat("n < ", options_.matching);
    ReceiveLoad load(run.lanes(), std::move(receive));
    load.Start();
    Round round;
    run.Measure(
        options_.duration, [&] { return load.settled() >= Wanted(); }, &round);
    run.Finish(&round);
    return round;
  }
};

class BenchEndToEnd : public Bench {
 protected:
  std::string name() const override { return "e2e"; }

  std::string Description() const override {
    return absl::StrCat(BytesText(options_.size), " bodies, ", options_.rate, " messages/s, ",
                        DurationText(options_.duration), " each");
  }

  void AddOwnFlags(FlagSet* flags) override {
    flags->Add("rate", &options_.rate, Default(1000.0), Between(0.1, 1e6), "Messages per second.");
    flags->Add("outstanding", &options_.outstanding, Default(4), Between(1, 10000), "Receives at once.");
    flags->Add("batch", &options_.batch, Default(32), Between(1, 1024), "Messages in a receive.");
    flags->Add("ack", &options_.ack, Default("batch"), OneOf({"batch", "single"}),
               "One call for a batch or one per message.");
  }

  absl::StatusOr<Round> RunRound(const Target& target, const std::string& workplace) override {
    const SendRequests requests = RequestsFor(workplace);
    LoadRun run(options_, *client_, target, &interrupted_);
    SendLoad send(run.lanes(), &requests);

    // When each of the newest messages was due, by its number.
    static constexpr size_t kRemembered = 1 << 18;
    auto due_times = std::make_unique<std::array<std::atomic<int64_t>, kRemembered>>();
    ReceiveLoadOptions receive = ReceiveOptionsFor(target, workplace);
    receive.on_message = [&](Lane* lane, absl::string_view message_id) {
      const int64_t number = requests.NumberOf(message_id);
      if (number < 0 || !lane->is_measuring()) return;
      const absl::Duration due = absl::Nanoseconds((*due_times)[number % kRemembered].load());
      lane->meter().end_to_end.Record(RealClock()->SinceBoot() - due);
    };
    ReceiveLoad load(run.lanes(), std::move(receive));
    load.Start();
    auto pacer = std::make_unique<Pacer>(options_.rate, [&](absl::Duration due) {
      while (send.outstanding() >= kMaxOpenLoopOutstanding) absl::SleepFor(absl::Milliseconds(1));
      // Only this thread sends, so the number is known before the message leaves.
      (*due_times)[send.next_number() % kRemembered] = absl::ToInt64Nanoseconds(due);
      send.SendOne(due);
    });
    Round round;
    run.WarmUp(options_.warm_up);
    run.Measure(options_.duration, nullptr, &round);
    pacer.reset();
    run.Finish(&round);
    round.meter.receive = Histogram();  // How long a receive waited says something of the rate only.
    return round;
  }
};

class BenchTimers : public Bench {
 protected:
  std::string name() const override { return "timers"; }
  std::string Description() const override {
    return absl::StrCat(options_.timers, " messages of ", BytesText(options_.size), " due from ",
                        DurationText(options_.ahead), " on for ", DurationText(options_.spread),
                        "; end_to_end counts from when a message was due");
  }
  admin::TopicType topic_type() const override { return admin::DELAY; }
  SendRequests::Vary Variation() const override {
    return [this](uint64_t number, v2::Message* message) {
      ToProto(DueOf(number), message->mutable_system_properties()->mutable_delivery_timestamp());
    };
  }

  void AddOwnFlags(FlagSet* flags) override {
    flags->Add("timers", &options_.timers, Default(int64_t{100000}), AtLeast(int64_t{1}), "Scheduled messages.");
    flags->Add("ahead", &options_.ahead, Default(absl::Seconds(10)), Between(absl::Milliseconds(100), absl::Hours(24)),
               "When the first is due. All must have been sent by then.");
    flags->Add("spread", &options_.spread, Default(absl::Seconds(10)), Between(absl::Milliseconds(1), absl::Hours(24)),
               "How long after it the last is due; the others at even distances.");
    flags->Add("outstanding", &options_.outstanding, Default(4), Between(1, 10000), "Receives at once.");
    flags->Add("batch", &options_.batch, Default(32), Between(1, 1024), "Messages in a receive.");
  }

  // Measures from when all are sent until all have come.
  absl::StatusOr<Round> RunRound(const Target& target, const std::string& workplace) override {
    first_due_ = RealClock()->Now() + options_.ahead;
    RETURN_IF_ERROR(Fill(target, workplace, options_.timers));
    if (RealClock()->Now() >= first_due_) {
      return RefusedError(absl::StrCat("sending ", options_.timers, " messages took longer than --ahead, ",
                                       DurationText(options_.ahead)));
    }
    const SendRequests requests(MessageFor(workplace), filled_run_);
    LoadRun run(options_, *client_, target, &interrupted_);
    ReceiveLoadOptions receive = ReceiveOptionsFor(target, workplace);
    receive.on_message = [&](Lane* lane, absl::string_view message_id) {
      const int64_t number = requests.NumberOf(message_id);
      if (number < 0 || !lane->is_measuring()) return;
      const absl::Duration late = RealClock()->Now() - DueOf(static_cast<uint64_t>(number));
      if (late < absl::ZeroDuration())
        lane->meter().Fail(absl::StrCat("a message came ", DurationText(-late), " before it was due"));
      lane->meter().end_to_end.Record(std::max(late, absl::ZeroDuration()));
    };
    ReceiveLoad load(run.lanes(), std::move(receive));
    load.Start();
    Round round;
    run.Measure(
        first_due_ - RealClock()->Now() + options_.spread + options_.duration,
        [&] { return load.settled() >= options_.timers; }, &round);
    run.Finish(&round);
    round.meter.receive = Histogram();  // How long a receive waited says something of the spread only.
    if (load.settled() < options_.timers && !interrupted_) {
      return RefusedError(absl::StrCat(load.settled(), " of ", options_.timers,
                                       " messages came within --duration after the last was due"));
    }
    return round;
  }

 private:
  absl::Time DueOf(uint64_t number) const {
    return first_due_ + options_.spread * (static_cast<double>(number) / static_cast<double>(options_.timers));
  }

  absl::Time first_due_;
};

class BenchTransaction : public Bench {
 protected:
  std::string name() const override { return "transaction"; }
  std::string Description() const override {
    return absl::StrCat(BytesText(options_.size), " bodies, prepared (send) and committed (ack), ",
                        options_.outstanding, " outstanding, ", DurationText(options_.duration), " each");
  }
  admin::TopicType topic_type() const override { return admin::TRANSACTION; }

  void AddOwnFlags(FlagSet* flags) override {
    flags->Add("outstanding", &options_.outstanding, Default(64), Between(1, 100000), "Transactions at once.");
  }

  absl::StatusOr<Round> RunRound(const Target& target, const std::string& workplace) override {
    const SendRequests requests = RequestsFor(workplace);
    LoadRun run(options_, *client_, target, &interrupted_);
    TransactionLoad load(run.lanes(), &requests, client_->Resource(workplace));
    load.Start(options_.outstanding);
    Round round;
    run.WarmUp(options_.warm_up);
    run.Measure(options_.duration, nullptr, &round);
    run.Finish(&round);
    return round;
  }
};

class BenchExplain : public Bench {
 protected:
  std::string name() const override { return "explain"; }
  std::string Description() const override {
    return absl::StrCat("one of ", options_.backlog, " messages after the other, by id and at random, ",
                        DurationText(options_.duration), " each");
  }

  void AddOwnFlags(FlagSet* flags) override {
    flags->Add("backlog", &options_.backlog, Default(int64_t{200000}), AtLeast(int64_t{1}),
               "Messages that are in the topic. Give the server --warm-up to make its files of hashes.");
  }

  absl::StatusOr<Round> RunRound(const Target& target, const std::string& workplace) override {
    LoadRun run(options_, *client_, target, &interrupted_);
    run.WarmUp(options_.warm_up);
    Round round;
    const absl::Duration client_before = OwnCpuTime();
    const absl::Duration start = RealClock()->SinceBoot();
    while (!interrupted_ && RealClock()->SinceBoot() - start < options_.duration) {
      admin::ExplainMessageRequest request;
      *request.mutable_topic() = client_->Name(workplace);
      request.set_message_id(
          SendRequests::IdOf(filled_run_, RealRandom()->Below(static_cast<uint64_t>(options_.backlog))));
      const absl::Duration since = RealClock()->SinceBoot();
      const auto response = client_->CallPatiently(&admin::Admin::Stub::ExplainMessage, request);
      if (!response.ok()) {
        round.meter.Fail(response.status().message());
        continue;
      }
      ++round.meter.calls;
      ++round.meter.sent;
      round.meter.receive.Record(RealClock()->SinceBoot() - since);
    }
    round.elapsed = RealClock()->SinceBoot() - start;
    round.client_cpu = OwnCpuTime() - client_before;
    return round;
  }
};

// For bench --baseline.
class EchoServerCommand : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("port", &options_.port, Default(0), Between(0, 65535), "0: a free one.");
    flags->Add("size", &options_.body_bytes, Default(1024), AtLeast(0), "Of a message's body, in bytes.");
    flags->Add("batch", &options_.batch, Default(32), AtLeast(1), "Messages that every receive gets.");
    flags->Add("threads", &options_.threads, Default(1), Between(1, 64), "Threads of the server.");
    flags->Add("certificate_directory", &options_.certificate_directory, Default(""),
               "Serve TLS, with a certificate that is made there.");
  }

  absl::Status Run(const FlagSet&, absl::Span<const std::string>, Session*) override { return RunEchoServer(options_); }

 private:
  EchoOptions options_;
};

}  // namespace

void AddBenchCommands(std::vector<CommandEntry>* commands) {
  commands->push_back(
      {"bench send", "", "Measures sends: throughput, latency and the server's CPU per message.", Make<BenchSend>()});
  commands->push_back(
      {"bench receive", "", "Measures receives and acknowledgements of a backlog.", Make<BenchReceive>()});
  commands->push_back(
      {"bench e2e", "", "Measures the time from send to receive at a steady rate.", Make<BenchEndToEnd>()});
  commands->push_back({"bench timers", "", "Measures how late scheduled messages come.", Make<BenchTimers>()});
  commands->push_back(
      {"bench transaction", "", "Measures transactions that are prepared and committed.", Make<BenchTransaction>()});
  commands->push_back(
      {"bench explain", "", "Measures how long it takes to tell the life of a message.", Make<BenchExplain>()});
  commands->push_back(
      {"echo-server", "", "Serves as the baseline of a bench.", Make<EchoServerCommand>(), /*hidden=*/true});
}

}  // namespace barid::cli
