#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
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

// The retry policy, as create and update take it.
struct RetryFlags {
  int32_t max_attempts = 0;
  std::vector<std::string> backoff;

  void Add(FlagSet* flags) {
    flags->Add("max_attempts", &max_attempts, Default(RetryPolicy().max_attempts), Between(1, kMaxAttempts),
               "Deliveries of one message, the first included, before it goes to the dead letters.");
    flags->Add("backoff", &backoff, Default(std::vector<std::string>()),
               "Delays after the first failed delivery, the second and so on; the last one repeats. Without: "
               "1s,5s,10s,30s,1m ... 2h.");
  }
  static bool Given(const FlagSet& flags) { return flags.Given("max_attempts") || flags.Given("backoff"); }

  // Sets what was given and keeps the rest.
  absl::Status Fill(const FlagSet& flags, admin::RetryPolicy* policy) const {
    if (flags.Given("max_attempts")) policy->set_max_attempts(max_attempts);
    if (!flags.Given("backoff")) return absl::OkStatus();
    if (backoff.size() > kMaxRetryDelays) {
      return UsageError(absl::StrCat("--backoff has ", backoff.size(), " delays, expected at most ", kMaxRetryDelays));
    }
    policy->clear_delays();
    for (const std::string& text : backoff) {
      absl::Duration delay;
      if (!cli::ParseDuration(absl::StripAsciiWhitespace(text), &delay) || delay < absl::ZeroDuration() ||
          delay > kMaxRetryDelay) {
        return UsageError(absl::StrCat("--backoff has \"", text, "\", expected durations up to ",
                                       DurationText(kMaxRetryDelay), " between commas, such as 1s,5s,1m"));
      }
      ToProto(delay, policy->add_delays());
    }
    if (policy->delays().empty())
      return UsageError("--backoff is empty, expected durations between commas, such as 1s,5s,1m");
    return absl::OkStatus();
  }
};

std::string OrderText(admin::DeliveryOrder order) { return order == admin::DELIVERY_ORDER_FIFO ? "fifo" : "none"; }

std::string KindText(admin::GroupKind kind) {
  switch (kind) {
    case admin::GROUP_KIND_DELIVERY:
      return "delivery";
    case admin::GROUP_KIND_OFFSET:
      return "offset";
    default:
      return "undecided";
  }
}

std::string StartText(const admin::StartFrom& start) {
  switch (start.position_case()) {
    case admin::StartFrom::kLast:
      return "last";
    case admin::StartFrom::kTime:
      return TimeText(FromProto(start.time()));
    default:
      return "first";
  }
}

std::string BackoffText(const admin::RetryPolicy& policy) {
  if (policy.delays().empty()) {
    return absl::StrCat(DurationText(FromProto(policy.initial())), " x", policy.multiplier(), " up to ",
                        DurationText(FromProto(policy.max())));
  }
  return absl::StrJoin(policy.delays(), ",", [](std::string* out, const google::protobuf::Duration& delay) {
    absl::StrAppend(out, DurationText(FromProto(delay)));
  });
}

// Of the flag --expire-after.
void AddExpiryFlag(absl::Duration* expire_after, FlagSet* flags) {
  flags->Add("expire_after", expire_after, Default(absl::ZeroDuration()),
             Between(absl::ZeroDuration(), kMaxGroupExpiry),
             "The group is deleted when no member was seen for so long: for groups that are made for one member. 0: "
             "never.");
}

absl::Status FillStart(absl::string_view text, admin::StartFrom* start) {
  absl::Time time;
  if (text == "first") {
    start->set_first(true);
  } else if (text == "last") {
    start->set_last(true);
  } else if (std::string error; absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    ToProto(time, start->mutable_time());
  } else {
    return UsageError(
        absl::StrCat("--start is \"", text, "\", expected first, last or a time such as 2026-08-17T12:00:00Z"));
  }
  return absl::OkStatus();
}

void WriteGroup(const admin::Group& group, JsonWriter* json) {
  json->BeginObject();
  WriteName(group.name(), json);
  json->Field("kind", KindText(group.kind()))
      .Field("order", OrderText(group.order()))
      .Field("max_attempts", group.retry().max_attempts());
  json->Key("backoff_seconds").BeginArray();
  for (const auto& delay : group.retry().delays()) json->Value(absl::ToDoubleSeconds(FromProto(delay)));
  json->End();
  if (group.retry().delays().empty()) {
    json->Key("exponential_backoff").BeginObject();
    json->Field("initial_seconds", absl::ToDoubleSeconds(FromProto(group.retry().initial())));
    json->Field("max_seconds", absl::ToDoubleSeconds(FromProto(group.retry().max())));
    json->Field("multiplier", group.retry().multiplier()).End();
  }
  json->Field("start", StartText(group.start())).Field("paused", group.paused());
  if (group.has_expire_after())
    json->Field("expire_after_seconds", absl::ToDoubleSeconds(FromProto(group.expire_after())));
  json->Field("created", TimeText(FromProto(group.created()))).Field("id", group.id()).End();
}

void ShowChanged(absl::string_view done, const admin::Group& group, Session* session) {
  if (session->json()) {
    JsonWriter json;
    WriteGroup(group, &json);
    session->out() << json.text() << "\n";
  } else {
    session->out() << "group " << NameText(group.name()) << " " << done << "\n";
  }
}

class GroupCreate : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("order", &order_, Default(DeliveryOrder::kNone),
               OneOf<DeliveryOrder>({{"none", DeliveryOrder::kNone}, {"fifo", DeliveryOrder::kFifo}}),
               "Whether messages of one message group are delivered one after the other.");
    flags->Add(
        "kind", &kind_, Default(GroupKind::kUndecided),
        OneOf<GroupKind>(
            {{"undecided", GroupKind::kUndecided}, {"delivery", GroupKind::kDelivery}, {"offset", GroupKind::kOffset}}),
        "Who knows what the group has read: the server, by deliveries that are settled; or the group itself, which "
        "pulls and stores "
        "offsets. Undecided: its first receive or stored offset says it.");
    retry_.Add(flags);
    flags->Add("start", &start_, Default("first"),
               "Where it starts in a topic that it reads for the first time: first, last or a time such as "
               "2026-08-17T12:00:00Z.");
    AddExpiryFlag(&expire_after_, flags);
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    if (const absl::Status name = ValidateGroupName(arguments[0]); !name.ok()) return UsageError(name.message());
    admin::CreateGroupRequest request;
    request.set_order(order_ == DeliveryOrder::kFifo ? admin::DELIVERY_ORDER_FIFO : admin::DELIVERY_ORDER_NONE);
    request.set_kind(static_cast<admin::GroupKind>(kind_));
    RETURN_IF_ERROR(FillStart(start_, request.mutable_start()));
    if (flags.Given("expire_after")) ToProto(expire_after_, request.mutable_expire_after());
    if (RetryFlags::Given(flags)) {
      for (const absl::Duration delay : DefaultRetryDelays()) ToProto(delay, request.mutable_retry()->add_delays());
      RETURN_IF_ERROR(retry_.Fill(flags, request.mutable_retry()));
    }
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    *request.mutable_name() = client->Name(arguments[0]);
    ASSIGN_OR_RETURN(const admin::Group group, client->Call(&Stub::CreateGroup, request));
    ShowChanged("created", group, session);
    return absl::OkStatus();
  }

 private:
  DeliveryOrder order_ = DeliveryOrder::kNone;
  GroupKind kind_ = GroupKind::kUndecided;
  RetryFlags retry_;
  std::string start_;
  absl::Duration expire_after_;
};

class GroupUpdate : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    retry_.Add(flags);
    AddExpiryFlag(&expire_after_, flags);
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    if (!RetryFlags::Given(flags) && !flags.Given("expire_after"))
      return UsageError("nothing to change, give at least one of --max-attempts, --backoff, --expire-after");
    admin::RetryPolicy given;
    RETURN_IF_ERROR(retry_.Fill(flags, &given));  // A bad flag is told before anyone is asked.
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::UpdateGroupRequest request;
    *request.mutable_name() = client->Name(arguments[0]);
    if (flags.Given("expire_after")) ToProto(expire_after_, request.mutable_expire_after());
    if (RetryFlags::Given(flags)) {
      // A policy is replaced as a whole, so what is not given is read first.
      admin::DescribeGroupRequest describe;
      *describe.mutable_name() = request.name();
      ASSIGN_OR_RETURN(const admin::DescribeGroupResponse before, client->Call(&Stub::DescribeGroup, describe));
      *request.mutable_retry() = before.group().retry();
      RETURN_IF_ERROR(retry_.Fill(flags, request.mutable_retry()));
    }
    ASSIGN_OR_RETURN(const admin::Group group, client->Call(&Stub::UpdateGroup, request));
    ShowChanged("updated", group, session);
    return absl::OkStatus();
  }

 private:
  RetryFlags retry_;
  absl::Duration expire_after_;
};

// Pauses or resumes.
class GroupPause : public Command {
 public:
  explicit GroupPause(bool pauses) : pauses_(pauses) {}

  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::UpdateGroupRequest request;
    *request.mutable_name() = client->Name(arguments[0]);
    request.set_paused(pauses_);
    ASSIGN_OR_RETURN(const admin::Group group, client->Call(&Stub::UpdateGroup, request));
    // An older server passes over what it does not know.
    if (group.paused() != pauses_) return RefusedError("the server cannot pause groups: it is older than baridctl");
    ShowChanged(pauses_ ? "paused" : "resumed", group, session);
    return absl::OkStatus();
  }

 private:
  const bool pauses_;
};

class GroupDelete : public Command {
 public:
  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::DeleteGroupRequest request;
    *request.mutable_name() = client->Name(arguments[0]);
    RETURN_IF_ERROR(client->Call(&Stub::DeleteGroup, request).status());
    if (session->json()) {
      session->out() << JsonWriter().BeginObject().Field("deleted", arguments[0]).End().text() << "\n";
    } else {
      session->out() << "group " << NameText(request.name()) << " deleted\n";
    }
    return absl::OkStatus();
  }
};

class GroupList : public Command {
 public:
  absl::Status Run(const FlagSet& flags, absl::Span<const std::string>, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::ListGroupsRequest request;
    if (flags.Given("namespace")) request.set_namespace_(client->options().space);
    ASSIGN_OR_RETURN(const admin::ListGroupsResponse response, client->Call(&Stub::ListGroups, request));
    if (session->json()) {
      JsonWriter json;
      json.BeginArray();
      for (const admin::Group& group : response.groups()) WriteGroup(group, &json);
      session->out() << json.End().text() << "\n";
      return absl::OkStatus();
    }
    Table table({"GROUP", "KIND", "ORDER", "ATTEMPTS", "START", "PAUSED", "CREATED"});
    for (const admin::Group& group : response.groups()) {
      table.AddRow({NameText(group.name()), KindText(group.kind()), OrderText(group.order()),
                    absl::StrCat(group.retry().max_attempts()), StartText(group.start()), group.paused() ? "yes" : "no",
                    TimeText(FromProto(group.created()))});
    }
    table.Print(session->out());
    return absl::OkStatus();
  }
};

class GroupDescribe : public Command {
 public:
  absl::Status Run(const FlagSet&, absl::Span<const std::string> arguments, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    admin::DescribeGroupRequest request;
    *request.mutable_name() = client->Name(arguments[0]);
    ASSIGN_OR_RETURN(const admin::DescribeGroupResponse response, client->Call(&Stub::DescribeGroup, request));
    WarnOfSilentBrokers(response.silent_brokers(), session->err());
    if (session->json()) {
      PrintJson(response, session);
    } else {
      PrintTables(response, session);
    }
    return absl::OkStatus();
  }

 private:
  static void PrintJson(const admin::DescribeGroupResponse& response, Session* session) {
    JsonWriter json;
    json.BeginObject().Key("group");
    WriteGroup(response.group(), &json);
    json.Key("queues");
    WriteQueues(response.queues(), &json);
    json.Key("counts");
    WriteCounts(response.counts(), &json);
    json.Key("clients").BeginArray();
    for (const admin::Client& client : response.clients()) {
      json.BeginObject().Field("id", client.id()).Field("type", client.type());
      json.Field("language", client.language()).Field("version", client.version()).End();
    }
    json.End().Key("silent_brokers").BeginArray();
    for (const std::string& broker : response.silent_brokers()) json.Value(broker);
    session->out() << json.End().End().text() << "\n";
  }

  static void PrintTables(const admin::DescribeGroupResponse& response, Session* session) {
    const admin::Group& group = response.group();
    Table head({});
    head.AddRow({"group", NameText(group.name())});
    if (group.paused()) head.AddRow({"paused", "nothing is delivered until it is resumed"});
    head.AddRow({"kind", KindText(group.kind())});
    head.AddRow({"order", OrderText(group.order())});
    head.AddRow({"attempts", absl::StrCat(group.retry().max_attempts())});
    head.AddRow({"backoff", BackoffText(group.retry())});
    head.AddRow({"start", StartText(group.start())});
    if (group.has_expire_after()) head.AddRow({"expires after", DurationText(FromProto(group.expire_after()))});
    head.AddRow({"created", TimeText(FromProto(group.created()))});
    head.Print(session->out());
    PrintCounts(response.counts(), CountedBy::kTopic, session->out());

    Table places({"TOPIC", "SHARD", "QUEUE", "END", "FLOOR", "NEXT", "IN FLIGHT", "READY AGAIN", "PARKED", "LAG"});
    for (const admin::QueueStats& queue : response.queues()) {
      for (const admin::QueueStats::GroupPlace& place : queue.groups()) {
        places.AddRow({NameText(queue.topic()), queue.shard(), absl::StrCat(queue.queue()), absl::StrCat(queue.end()),
                       absl::StrCat(place.floor()), absl::StrCat(place.next()), absl::StrCat(place.in_flight()),
                       absl::StrCat(place.ready_again()), absl::StrCat(place.parked()), absl::StrCat(place.lag())});
      }
    }
    if (!places.empty()) {
      session->out() << "\n";
      places.Print(session->out());
    }
    Table clients({"CLIENT", "TYPE", "LANGUAGE", "VERSION"});
    for (const admin::Client& client : response.clients()) {
      clients.AddRow({client.id(), client.type(), client.language(), client.version()});
    }
    if (!clients.empty()) {
      session->out() << "\n";
      clients.Print(session->out());
    }
  }
};

class GroupResetOffset : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("to_offset", &offset_, Default(int64_t{0}), Between(int64_t{0}, INT64_MAX),
               "To this offset of each queue, or as near to it as the queue has.");
    flags->Add("to_time", &time_, Default(""),
               "To the first message that entered each queue then or later: a time such as 2026-08-17T12:00:00Z.");
    flags->Add("to_latest", &latest_, Default(false), "To the end of each queue: what is there is passed over.");
    flags->Add("queue", &queues_, Default(std::vector<std::string>()),
               "Only these queues, as SHARD/QUEUE between commas, such as broker-0-0/1.");
    flags->Add("dry_run", &dry_run_, Default(false), "Shows what would happen, and does nothing.");
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    admin::ResetOffsetRequest request;
    if (flags.Given("to_offset") + flags.Given("to_time") + latest_ != 1) {
      return UsageError("give exactly one of --to-offset, --to-time, --to-latest");
    }
    if (flags.Given("to_offset")) request.set_offset(offset_);
    if (latest_) request.set_latest(true);
    if (flags.Given("to_time")) {
      absl::Time time;
      std::string error;
      if (!absl::ParseTime(absl::RFC3339_full, time_, &time, &error)) {
        return UsageError(absl::StrCat("--to-time is \"", time_, "\", expected a time such as 2026-08-17T12:00:00Z"));
      }
      ToProto(time, request.mutable_time());
    }
    for (const std::string& text : queues_) {
      const std::vector<std::string> parts = absl::StrSplit(text, '/');
      int32_t queue = 0;
      if (parts.size() != 2 || parts[0].empty() || !absl::SimpleAtoi(parts[1], &queue) || queue < 0) {
        return UsageError(absl::StrCat("--queue has \"", text, "\", expected SHARD/QUEUE, such as broker-0-0/1"));
      }
      request.add_queues()->set_shard(parts[0]);
      request.mutable_queues(request.queues_size() - 1)->set_queue(queue);
    }
    request.set_dry_run(dry_run_);
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    *request.mutable_group() = client->Name(arguments[0]);
    *request.mutable_topic() = client->Name(arguments[1]);
    ASSIGN_OR_RETURN(const admin::ResetOffsetResponse response, client->Call(&Stub::ResetOffset, request));
    WarnOfSilentBrokers(response.silent_brokers(), session->err());
    if (session->json()) {
      PrintJson(response, session->out());
    } else {
      PrintText(response, session->out());
    }
    const bool failed =
        !response.silent_brokers().empty() || std::any_of(response.queues().begin(), response.queues().end(),
                                                          [](const auto& queue) { return !queue.error().empty(); });
    return failed ? RefusedError("not every queue was reset; a reset may be repeated") : absl::OkStatus();
  }

 private:
  void PrintJson(const admin::ResetOffsetResponse& response, std::ostream& out) const {
    JsonWriter json;
    json.BeginObject().Field("kind", KindText(response.kind())).Field("dry_run", dry_run_);
    json.Key("queues").BeginArray();
    for (const auto& queue : response.queues()) {
      json.BeginObject().Field("shard", queue.shard()).Field("queue", queue.queue());
      if (queue.has_from()) json.Field("from", queue.from());
      json.Field("to", queue.to()).Field("end", queue.end());
      json.Field("in_flight", queue.in_flight()).Field("parked", queue.parked());
      if (!queue.error().empty()) json.Field("error", queue.error());
      json.End();
    }
    out << json.End().End().text() << "\n";
  }

  void PrintText(const admin::ResetOffsetResponse& response, std::ostream& out) const {
    Table table({"SHARD", "QUEUE", "FROM", "TO", "END", "IN FLIGHT", "PARKED", "ERROR"});
    int64_t in_flight = 0;
    int64_t parked = 0;
    for (const auto& queue : response.queues()) {
      table.AddRow({queue.shard(), absl::StrCat(queue.queue()), queue.has_from() ? absl::StrCat(queue.from()) : "-",
                    absl::StrCat(queue.to()), absl::StrCat(queue.end()), absl::StrCat(queue.in_flight()),
                    absl::StrCat(queue.parked()), queue.error()});
      in_flight += queue.in_flight();
      parked += queue.parked();
    }
    table.Print(out);
    if (response.kind() == admin::GROUP_KIND_OFFSET) {
      out << (dry_run_ ? "nothing was changed"
                       : "the stored offsets were moved; a member that has read its own goes on where it is")
          << "\n";
      return;
    }
    out << (dry_run_ ? "nothing was changed; a reset would drop " : "dropped ") << in_flight
        << " deliveries in flight and " << parked
        << " parked messages: receipts of these are invalid, and what is not below TO is delivered again\n";
  }

  int64_t offset_ = 0;
  std::string time_;
  bool latest_ = false;
  std::vector<std::string> queues_;
  bool dry_run_ = false;
};

}  // namespace

void AddGroupCommands(std::vector<CommandEntry>* commands) {
  commands->push_back({"group create", "NAME", "Creates a consumer group.", Make<GroupCreate>()});
  commands->push_back({"group list", "", "Lists the groups, of --namespace or of all.", Make<GroupList>()});
  commands->push_back(
      {"group describe", "NAME", "Shows a group, its places in its queues and its members.", Make<GroupDescribe>()});
  commands->push_back({"group update", "NAME", "Changes what is given and leaves the rest.", Make<GroupUpdate>()});
  commands->push_back({"group pause", "NAME", "Gives a group's members nothing until it is resumed.",
                       [] { return std::make_unique<GroupPause>(true); }});
  commands->push_back(
      {"group resume", "NAME", "Ends a group's pause.", [] { return std::make_unique<GroupPause>(false); }});
  commands->push_back({"group reset-offset", "GROUP TOPIC", "Moves a group's place in a topic, forwards or back.",
                       Make<GroupResetOffset>()});
  commands->push_back(
      {"group delete", "NAME", "Deletes a group, its places and its dead letters.", Make<GroupDelete>()});
}

}  // namespace barid::cli
