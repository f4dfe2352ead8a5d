#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/metadata.h"
#include "base/random.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/interrupt.h"
#include "cli/message_body.h"
#include "cli/own_group.h"
#include "cli/receiver.h"
#include "cli/request_reply.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

using Stub = admin::Admin::Stub;

// Of the group that reads the answers, if this process does not come to delete it.
constexpr absl::Duration kGroupExpiry = absl::Minutes(5);
constexpr absl::Duration kCallTimeout = absl::Seconds(5);
constexpr int kReplies = 32;  // Taken at once; more than one only if a request was answered several times.

// Sends a request and waits for its answer. It reads the reply topic with a group of its own, and there only what has
// its own tag: so many may wait on one reply topic, and each sees its own answers.
class Request : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    body_.Add(flags);
    flags->Add("tag", &tag_, Default(""), "One word by which those who answer filter.");
    flags->AddRepeated("key", &keys_, "A word by which the request can be looked up.");
    flags->AddRepeated("property", &properties_, "A property, NAME=VALUE.");
    flags->Add("reply_topic", &reply_topic_, Default("replies"),
               "Where the answer is sent to. It is created if it is not there, and keeps answers for "
               "--reply-retention.");
    flags->Add("reply_retention", &reply_retention_, Default(absl::Hours(1)),
               Between(kMinRetentionAge, kMaxRetentionAge),
               "How long a reply topic that is created here keeps answers that come too late.");
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    v2::Message request;
    RETURN_IF_ERROR(Fill(flags, &request));
    std::unique_ptr<Receiver> receiver;
    OnInterrupt interrupt;  // Lives until the group is deleted, and looks at the receiver as long.
    // However short the wait for the answer is, a call may take its time.
    ClientOptions connection = session->options().client;
    const absl::Duration wait = std::exchange(connection.timeout, std::max(connection.timeout, kCallTimeout));
    ASSIGN_OR_RETURN(const std::unique_ptr<Client> connected, Client::Connect(connection));
    Client* const client = connected.get();
    *request.mutable_topic() = client->Resource(arguments[0]);
    RETURN_IF_ERROR(MakeReplyTopic(client));
    ReceiverOptions options;
    options.topic = reply_topic_;
    options.tags = request.user_properties().at(kReplyTag);
    // The group comes first: it owes us what is stored from now on, also before we ask for it.
    ASSIGN_OR_RETURN(options.group, CreateOwnGroup(client, "request", kGroupExpiry));
    receiver = std::make_unique<Receiver>(client, options);
    interrupt.Do([&receiver] { receiver->Stop(); });
    const absl::Status answered = Ask(client, receiver.get(), request, wait, session);
    const absl::Status deleted = DeleteOwnGroup(client, options.group);
    RETURN_IF_ERROR(answered);
    return deleted;
  }

 private:
  absl::Status Fill(const FlagSet& flags, v2::Message* request) const {
    ASSIGN_OR_RETURN(*request->mutable_body(), body_.Read(flags));
    v2::SystemProperties* const system = request->mutable_system_properties();
    system->set_message_type(v2::NORMAL);
    system->set_body_encoding(v2::IDENTITY);
    if (flags.Given("tag")) system->set_tag(tag_);
    for (const std::string& key : keys_) system->add_keys(key);
    RETURN_IF_ERROR(FillProperties(properties_, request));
    auto& properties = *request->mutable_user_properties();
    properties[kCorrelationId] = absl::BytesToHexString(RealRandom()->Bytes(8));
    properties[kReplyTag] = absl::BytesToHexString(RealRandom()->Bytes(8));
    properties[kReplyTopic] = reply_topic_;
    return absl::OkStatus();
  }

  static absl::StatusOr<bool> HasTopic(Client* client, const std::string& topic) {
    admin::ListTopicsRequest list;
    list.set_namespace_(client->options().space);
    ASSIGN_OR_RETURN(const admin::ListTopicsResponse topics, client->Call(&Stub::ListTopics, list));
    return std::any_of(topics.topics().begin(), topics.topics().end(),
                       [&topic](const admin::Topic& one) { return one.name().name() == topic; });
  }

  // One that nobody made would be made by its first use, if at all, and keep what comes too late for days.
  absl::Status MakeReplyTopic(Client* client) const {
    ASSIGN_OR_RETURN(const bool is_there, HasTopic(client, reply_topic_));
    if (is_there) return absl::OkStatus();
    admin::CreateTopicRequest request;
    *request.mutable_name() = client->Name(reply_topic_);
    request.set_type(admin::NORMAL);
    ToProto(reply_retention_, request.mutable_retention_age());
    const absl::Status created = client->Call(&Stub::CreateTopic, request).status();
    if (created.ok()) return created;
    // Another requester may have been quicker.
    ASSIGN_OR_RETURN(const bool is_there_now, HasTopic(client, reply_topic_));
    return is_there_now ? absl::OkStatus() : created;
  }

  static absl::Status Ask(Client* client, Receiver* receiver, v2::Message request, absl::Duration timeout,
                          Session* session) {
    const absl::Duration end = RealClock()->SinceBoot() + timeout;
    auto& properties = *request.mutable_user_properties();
    properties[kReplyTtl] = absl::StrCat(absl::ToInt64Milliseconds(timeout));
    const std::string& correlation = properties[kCorrelationId];
    const std::string& reply_topic = properties[kReplyTopic];
    RETURN_IF_ERROR(client->Send(request).status());
    while (!receiver->stopped()) {
      const absl::Duration left = end - RealClock()->SinceBoot();
      if (left <= absl::ZeroDuration()) break;
      ASSIGN_OR_RETURN(const std::vector<v2::Message> replies, receiver->Receive(kReplies, left));
      // They go with the group, acknowledged or not.
      for (const v2::Message& reply : replies) {
        const auto found = reply.user_properties().find(kCorrelationId);
        if (found != reply.user_properties().end() && found->second == correlation) return Show(reply, session);
      }
    }
    return NothingReceivedError(
        absl::StrCat("no answer came to ", reply_topic, " within ", DurationText(timeout),
                     ", wait longer with --timeout, or look whether somebody answers (baridctl reply)"));
  }

  static absl::Status Show(const v2::Message& reply, Session* session) {
    if (session->json()) {
      PrintMessageJson(reply, session->out());
    } else {
      PrintMessage(reply, session->out());
    }
    const auto error = reply.user_properties().find(kReplyError);
    if (error == reply.user_properties().end()) return absl::OkStatus();
    return RefusedError(absl::StrCat("the request failed where it was answered: ", error->second));
  }

  BodyFlags body_;
  std::string tag_;
  std::vector<std::string> keys_;
  std::vector<std::string> properties_;
  std::string reply_topic_;
  absl::Duration reply_retention_;
};

}  // namespace

void AddRequestCommand(std::vector<CommandEntry>* commands) {
  commands->push_back(
      {"request", "TOPIC", "Sends a request and waits for its answer, at most --timeout.", Make<Request>()});
}

}  // namespace barid::cli
