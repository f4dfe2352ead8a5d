#include <optional>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/metadata.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/table.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

using Stub = admin::Admin::Stub;

// What create and update have in common.
struct TopicFlags {
  int32_t queues = 0;
  absl::Duration retention;
  int64_t retention_bytes = 0;
  bool keep_unsettled = false;
  int64_t max_message_bytes = 0;
  bool idempotent = true;
  absl::Duration transaction_recovery;

  void Add(FlagSet* flags) {
    const TopicMetadata defaults;
    flags->Add("queues", &queues, Default(defaults.queues_per_shard), Between(1, kMaxQueuesPerShard),
               "Queues in every shard. A FIFO topic has 16 in all if nothing is said (setting controller.fifo_queues), "
               "and never another number; "
               "a PRIORITY topic has 16, one for each priority.");
    flags->Add("retention", &retention, Default(defaults.retention.age), Between(kMinRetentionAge, kMaxRetentionAge),
               "How long messages are kept, settled or not.");
    flags->Add("retention_bytes", &retention_bytes, Default(0 * kMiB), AtLeast(0 * kMiB),
               "How much of the topic is kept in one shard; 0: no limit.");
    flags->Add("keep_unsettled", &keep_unsettled, Default(false), "Let nothing go that some group has not settled.");
    flags->Add("max_message_bytes", &max_message_bytes, Default(ByteSize(defaults.max_message_bytes)),
               Between(ByteSize(1), ByteSize(kMaxMessageBytes)), "The largest body.");
    flags->Add("idempotent", &idempotent, Default(true),
               "A message that is sent again soon, with the same id and content, is answered as the first was, and not "
               "stored again.");
    flags->Add(
        "transaction_recovery", &transaction_recovery, Default(absl::ZeroDuration()),
        Between(absl::ZeroDuration(), kMaxTransactionRecovery),
        "Of a TRANSACTION topic: a producer is asked about an open transaction after so long, and then again and "
        "again, unless the message says when first. 0: as the brokers are set.");
  }

  // Sets what was given: a create leaves the rest to the server, an update as it is.
  template <typename Request>
  void Fill(const FlagSet& flags, Request* request) const {
    if (flags.Given("queues")) request->set_queues_per_shard(queues);
    if (flags.Given("retention")) ToProto(retention, request->mutable_retention_age());
    if (flags.Given("retention_bytes")) request->set_retention_bytes(retention_bytes);
    if (flags.Given("keep_unsettled")) request->set_keep_unsettled(keep_unsettled);
    if (flags.Given("max_message_bytes")) request->set_max_message_bytes(max_message_bytes);
    if (flags.Given("idempotent")) request->set_idempotent(idempotent);
    if (flags.Given("transaction_recovery")) ToProto(transaction_recovery, request->mutable_transaction_recovery());
  }
};

std::string RetentionBytesText(const admin::Topic& topic) {
  return topic.retention_bytes() == 0 ? "no limit" : BytesText(topic.retention_bytes());
}

void WriteTopic(const admin::Topic& topic, JsonWriter* json) {
  json->BeginObject();
  WriteName(topic.name(), json);
  json->Field("type", TypeText(topic.type())).Field("queues_per_shard", topic.queues_per_shard());
  if (topic.fifo_queues() > 0) json->Field("queues", topic.fifo_queues());
  json->Field("retention_seconds", absl::ToDoubleSeconds(FromProto(topic.retention_age())));
  json->Field("retention_bytes", topic.retention_bytes()).Field("keep_unsettled", topic.keep_unsettled());
  json->Field("max_message_bytes", topic.max_message_bytes()).Field("idempotent", topic.idempotent());
  if (topic.has_transaction_recovery()) {
    json->Field("transaction_recovery_seconds", absl::ToDoubleSeconds(FromProto(topic.transaction_recovery())));
  }
  json->Field("created", TimeText(FromProto(topic.created()))).Field("id", topic.id()).End();
}

void PrintTopic(const admin::Topic& topic, Session* session) {
  Table table({});
  table.AddRow({"topic", NameText(topic.name())});
  table.AddRow({"type", TypeText(topic.type())});
  if (topic.fifo_queues() > 0) {
    table.AddRow({"queues", absl::StrCat(topic.fifo_queues())});
  } else {
    table.AddRow({"queues per shard", absl::StrCat(topic.queues_per_shard())});
  }
  table.AddRow({"retention", DurationText(FromProto(topic.retention_age()))});
  table.AddRow({"retention bytes", RetentionBytesText(topic)});
  table.AddRow({"keep unsettled", topic.keep_unsettled() ? "yes" : "no"});
  table.AddRow({"largest body", BytesText(topic.max_message_bytes())});
  table.AddRow({"idempotent", topic.idempotent() ? "yes" : "no"});
  if (topic.has_transaction_recovery()) {
    table.AddRow({"transaction recovery", DurationText(FromProto(topic.transaction_recovery()))});
  }
  table.AddRow({"created", TimeText(FromProto(topic.created()))});
  table.Print(session->out());
}

void ShowChanged(absl::string_view done, const admin::Topic& topic, Session* session) {
  if (session->json()) {
    JsonWriter json;
    WriteTopic(topic, &json);
    session->out() << json.text() << "\n";
  } else {
    session->out() << "topic " << NameText(topic.name()) << " " << done << "\n";
  }
}

class TopicCreate : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("type", &type_, Default("normal"),
               "The type of its messages: normal, fifo, delay, transaction, lite or priority.");
    topic_.Add(flags);
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    if (const absl::Status name = ValidateTopicName(arguments[0]); !name.ok()) return UsageError(name.message());
    const std::optional<MessageType> type = ParseMessageType(type_);
    if (!type)
      return UsageError(
          absl::StrCat("--type is \"", type_, "\", expected normal, fifo, delay, transaction, lite or priority"));
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::CreateTopicRequest request;
    *request.mutable_name() = client->Name(arguments[0]);
    request.set_type(static_cast<admin::TopicType>(*type));
    topic_.Fill(flags, &request);
    ASSIGN_OR_RETURN(const admin::Topic topic, client->Call(&Stub::CreateTopic, request));
    ShowChanged("created", topic, session);
    return absl::OkStatus();
  }

 private:
  std::string type_;
  TopicFlags topic_;
};

class TopicUpdate : public Command {
 public:
  void AddFlags(FlagSet* flags) override { topic_.Add(flags); }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    const bool is_given = flags.Given("queues") || flags.Given("retention") || flags.Given("retention_bytes") ||
                          flags.Given("keep_unsettled") || flags.Given("max_message_bytes") ||
                          flags.Given("idempotent") || flags.Given("transaction_recovery");
    if (!is_given)
      return UsageError(
          "nothing to change, give at least one of --queues, --retention, --retention-bytes, --keep-unsettled, "
          "--max-message-bytes, --idempotent, --transaction-recovery");
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::UpdateTopicRequest request;
    *request.mutable_name() = client->Name(arguments[0]);
    topic_.Fill(flags, &request);
    ASSIGN_OR_RETURN(const admin::Topic topic, client->Call(&Stub::UpdateTopic, request));
    ShowChanged("updated", topic, session);
    return absl::OkStatus();
  }

 private:
  TopicFlags topic_;
};

class TopicDelete : public Command {
 public:
  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::DeleteTopicRequest request;
    *request.mutable_name() = client->Name(arguments[0]);
    RETURN_IF_ERROR(client->Call(&Stub::DeleteTopic, request).status());
    if (session->json()) {
      session->out() << JsonWriter().BeginObject().Field("deleted", arguments[0]).End().text() << "\n";
    } else {
      session->out() << "topic " << NameText(request.name()) << " deleted\n";
    }
    return absl::OkStatus();
  }
};

class TopicList : public Command {
 public:
  absl::Status Run(const FlagSet& flags, absl::Span<const std::string>, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::ListTopicsRequest request;
    if (flags.Given("namespace")) request.set_namespace_(client->options().space);
    ASSIGN_OR_RETURN(const admin::ListTopicsResponse response, client->Call(&Stub::ListTopics, request));
    if (session->json()) {
      JsonWriter json;
      json.BeginArray();
      for (const admin::Topic& topic : response.topics()) WriteTopic(topic, &json);
      session->out() << json.End().text() << "\n";
      return absl::OkStatus();
    }
    Table table({"TOPIC", "TYPE", "QUEUES", "RETENTION", "RETENTION BYTES", "KEEP UNSETTLED", "LARGEST BODY"});
    for (const admin::Topic& topic : response.topics()) {
      table.AddRow({NameText(topic.name()), TypeText(topic.type()), absl::StrCat(topic.queues_per_shard()),
                    DurationText(FromProto(topic.retention_age())), RetentionBytesText(topic),
                    topic.keep_unsettled() ? "yes" : "no", BytesText(topic.max_message_bytes())});
    }
    table.Print(session->out());
    return absl::OkStatus();
  }
};

class TopicDescribe : public Command {
 public:
  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::DescribeTopicRequest request;
    *request.mutable_name() = client->Name(arguments[0]);
    ASSIGN_OR_RETURN(const admin::DescribeTopicResponse response, client->Call(&Stub::DescribeTopic, request));
    WarnOfSilentBrokers(response.silent_brokers(), session->err());
    if (session->json()) {
      JsonWriter json;
      json.BeginObject().Key("topic");
      WriteTopic(response.topic(), &json);
      json.Key("queues");
      WriteQueues(response.queues(), &json);
      json.Key("counts");
      WriteCounts(response.counts(), &json);
      json.Key("silent_brokers").BeginArray();
      for (const std::string& broker : response.silent_brokers()) json.Value(broker);
      session->out() << json.End().End().text() << "\n";
      return absl::OkStatus();
    }
    PrintTopic(response.topic(), session);
    Table queues({"SHARD", "QUEUE", "FIRST", "END", "BYTES", "DELAYED", "REPEATED SENDS", "REUSED IDS"});
    Table groups({"GROUP", "SHARD", "QUEUE", "FLOOR", "NEXT", "IN FLIGHT", "READY AGAIN", "PARKED", "LAG"});
    int64_t lite_topics = 0;
    for (const admin::QueueStats& queue : response.queues()) {
      lite_topics += queue.lite_topics();
      queues.AddRow({queue.shard(), absl::StrCat(queue.queue()), absl::StrCat(queue.first()), absl::StrCat(queue.end()),
                     absl::StrCat(queue.bytes()), absl::StrCat(queue.delayed()), absl::StrCat(queue.repeated_sends()),
                     absl::StrCat(queue.reused_ids())});
      for (const admin::QueueStats::GroupPlace& place : queue.groups()) {
        groups.AddRow({NameText(place.group()), queue.shard(), absl::StrCat(queue.queue()), absl::StrCat(place.floor()),
                       absl::StrCat(place.next()), absl::StrCat(place.in_flight()), absl::StrCat(place.ready_again()),
                       absl::StrCat(place.parked()), absl::StrCat(place.lag())});
      }
    }
    session->out() << "\n";
    if (lite_topics > 0) session->out() << lite_topics << (lite_topics == 1 ? " lite topic" : " lite topics") << "\n\n";
    queues.Print(session->out());
    PrintCounts(response.counts(), CountedBy::kGroup, session->out());
    if (!groups.empty()) {
      session->out() << "\n";
      groups.Print(session->out());
    }
    return absl::OkStatus();
  }
};

}  // namespace

void AddTopicCommands(std::vector<CommandEntry>* commands) {
  commands->push_back({"topic create", "NAME", "Creates a topic.", Make<TopicCreate>()});
  commands->push_back({"topic list", "", "Lists the topics, of --namespace or of all.", Make<TopicList>()});
  commands->push_back(
      {"topic describe", "NAME", "Shows a topic, its queues and the groups' places in them.", Make<TopicDescribe>()});
  commands->push_back({"topic update", "NAME", "Changes what is given and leaves the rest.", Make<TopicUpdate>()});
  commands->push_back({"topic delete", "NAME", "Deletes a topic and its messages.", Make<TopicDelete>()});
}

}  // namespace barid::cli
