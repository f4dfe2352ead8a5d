#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

using Stub = v2::MessagingService::Stub;

class Pull : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("queue", &queue_, Default(""), "The queue, as SHARD/QUEUE, such as broker-0-0/1. Needed.");
    flags->Add("group", &group_, Default("baridctl"),
               "Reads on from the offset that this group has stored, if no other place is given. A pull neither needs "
               "nor makes it.");
    flags->Add("offset", &offset_, Default(int64_t{0}), Between(int64_t{0}, INT64_MAX), "Begins here.");
    flags->Add(
        "time", &time_, Default(""),
        "Begins at the first message that entered the queue then or later: a time such as 2026-08-17T12:00:00Z.");
    flags->Add("latest", &latest_, Default(false), "Begins at the end of the queue.");
    flags->Add("max", &max_, Default(1), Between(1, 1000000), "How many messages at most.");
    flags->Add("wait", &wait_, Default(absl::Seconds(5)), Between(absl::ZeroDuration(), absl::Seconds(20)),
               "How long to wait for a first message.");
    flags->Add("tag", &tags_, Default("*"), "Only messages with one of these tags: \"a || b\".");
    flags->Add("sql", &sql_, Default(""),
               "Only messages that match this condition, in place of --tag: \"amount > 5\".");
    flags->Add(
        "store", &store_, Default(false),
        "Stores for --group where to go on. It becomes an offset-based group by that, to which nothing is delivered.");
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    if (flags.Given("offset") + flags.Given("time") + latest_ > 1) {
      return UsageError("--offset, --time and --latest are three places, give one of them");
    }
    if (!sql_.empty() && tags_ != "*") return UsageError("--tag and --sql are two filters, give one of them");
    RETURN_IF_ERROR(FillQueue());
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    *place_.mutable_topic() = client->Resource(arguments[0]);
    ASSIGN_OR_RETURN(int64_t next, FindStart(flags, client));
    int pulled = 0;
    while (pulled < max_) {
      v2::PullMessageRequest request;
      *request.mutable_group() = client->Resource(group_);
      *request.mutable_message_queue() = place_;
      request.set_offset(next);
      request.set_batch_size(max_ - pulled);
      request.mutable_filter_expression()->set_type(sql_.empty() ? v2::TAG : v2::SQL);
      request.mutable_filter_expression()->set_expression(sql_.empty() ? tags_ : sql_);
      // Whoever has something already does not wait for more.
      ToProto(pulled == 0 ? wait_ : absl::ZeroDuration(), request.mutable_long_polling_timeout());
      ASSIGN_OR_RETURN(const Client::Pulled batch, client->Pull(request));
      for (const v2::Message& message : batch.messages) {
        if (session->json()) {
          PrintMessageJson(message, session->out());
        } else {
          PrintMessage(message, session->out());
        }
      }
      session->out().flush();
      next = batch.next_offset;
      pulled += static_cast<int>(batch.messages.size());
      if (batch.messages.empty()) break;
    }
    if (session->json()) {
      session->out() << JsonWriter().BeginObject().Field("next_offset", next).End().text() << "\n";
    } else {
      session->out() << "next offset   " << next << "\n";
    }
    if (store_) RETURN_IF_ERROR(Store(next, client));
    if (pulled > 0) return absl::OkStatus();
    return NothingReceivedError(
        absl::StrCat("no message came within ", DurationText(wait_), ", wait longer with --wait"));
  }

 private:
  absl::Status FillQueue() {
    const std::vector<std::string> parts = absl::StrSplit(queue_, '/');
    int32_t id = 0;
    if (parts.size() != 2 || parts[0].empty() || !absl::SimpleAtoi(parts[1], &id) || id < 0) {
      return UsageError(
          absl::StrCat("--queue is \"", queue_, "\", expected SHARD/QUEUE, such as broker-0-0/1: see topic describe"));
    }
    place_.mutable_broker()->set_name(parts[0]);
    place_.set_id(id);
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> FindStart(const FlagSet& flags, Client* client) {
    if (flags.Given("offset")) return offset_;
    if (!flags.Given("time") && !latest_) {
      v2::GetOffsetRequest request;
      *request.mutable_group() = client->Resource(group_);
      *request.mutable_message_queue() = place_;
      ASSIGN_OR_RETURN(const v2::GetOffsetResponse response, client->Call(&Stub::GetOffset, request));
      if (response.status().code() == v2::OK) return response.offset();
      // A group that has stored nothing, or is none, or is delivered to: from the first message on.
    }
    v2::QueryOffsetRequest request;
    *request.mutable_message_queue() = place_;
    request.set_query_offset_policy(latest_ ? v2::END : v2::BEGINNING);
    if (flags.Given("time")) {
      absl::Time time;
      std::string error;
      if (!absl::ParseTime(absl::RFC3339_full, time_, &time, &error)) {
        return UsageError(absl::StrCat("--time is \"", time_, "\", expected a time such as 2026-08-17T12:00:00Z"));
      }
      request.set_query_offset_policy(v2::TIMESTAMP);
      ToProto(time, request.mutable_timestamp());
    }
    ASSIGN_OR_RETURN(const v2::QueryOffsetResponse response, client->Call(&Stub::QueryOffset, request));
    RETURN_IF_ERROR(OutcomeOf(response.status()));
    return response.offset();
  }

  absl::Status Store(int64_t next, Client* client) {
    v2::UpdateOffsetRequest request;
    *request.mutable_group() = client->Resource(group_);
    *request.mutable_message_queue() = place_;
    request.set_offset(next);
    ASSIGN_OR_RETURN(const v2::UpdateOffsetResponse response, client->Call(&Stub::UpdateOffset, request));
    return OutcomeOf(response.status());
  }

  std::string queue_;
  std::string group_;
  int64_t offset_ = 0;
  std::string time_;
  bool latest_ = false;
  int32_t max_ = 1;
  absl::Duration wait_;
  std::string tags_;
  std::string sql_;
  bool store_ = false;
  v2::MessageQueue place_;
};

}  // namespace

void AddPullCommand(std::vector<CommandEntry>* commands) {
  commands->push_back(
      {"pull", "TOPIC", "Reads a queue by offset, shows its messages and changes nothing.", Make<Pull>()});
}

}  // namespace barid::cli
