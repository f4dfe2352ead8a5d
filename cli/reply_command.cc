#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/metadata.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/message_body.h"
#include "cli/receiver.h"
#include "cli/request_reply.h"
#include "cli/run_program.h"
#include "cli/text.h"
#include "proxy/options.h"

namespace barid::cli {
namespace {

constexpr absl::Duration kPoll = absl::Seconds(20);
constexpr char kNothing[] = "\n";  // The body of an answer without one: none may be empty.

// Answers requests, as a member of a group: one after the other, until an interrupt. A request is acknowledged when its
// answer is durable, so it is answered at least once.
class Reply : public Command {
 public:
  void AddFlags(FlagSet* flags) override {
    flags->Add("group", &receiver_.group, Default(""),
               "The consumer group of those who answer; each request goes to one of them. Needed.");
    body_.Add(flags);
    flags->Add("exec", &exec_, Default(""),
               "A line of the shell: it reads the request's body, and what it writes is the answer's. If it fails, the "
               "answer says so.");
    flags->Add("echo", &echo_, Default(false), "Answer with the request's own body.");
    flags->Add("tag", &receiver_.tags, Default("*"), "Only requests with one of these tags: \"a || b\".");
    flags->Add("max", &max_, Default(0), AtLeast(0), "Stop after so many requests; 0: at an interrupt only.");
    const proxy::ProxyOptions server;
    flags->Add("invisible", &receiver_.invisible, Default(absl::Seconds(30)),
               Between(server.min_invisible, server.max_invisible),
               "For how long no other member of the group sees a request: longer than an answer takes.");
  }

  absl::Status Run(const FlagSet& flags, absl::Span<const std::string> arguments, Session* session) override {
    if (receiver_.group.empty()) return UsageError("--group is missing, name the consumer group of those who answer");
    if (BodyFlags::Given(flags) + echo_ + flags.Given("exec") != 1)
      return UsageError("say what to answer by one of --body, --file, --exec and --echo");
    if (BodyFlags::Given(flags)) {
      ASSIGN_OR_RETURN(fixed_body_, body_.Read(flags));
    }
    receiver_.topic = arguments[0];
    std::unique_ptr<Receiver> receiver;
    OnInterrupt interrupt;  // Looks at the receiver as long as it lives.
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    receiver = std::make_unique<Receiver>(client, receiver_);
    interrupt.Do([&receiver] { receiver->Stop(); });
    int seen = 0;
    while (!receiver->stopped() && (max_ == 0 || seen < max_)) {
      // One at a time: what waits behind a slow answer is left to other members.
      ASSIGN_OR_RETURN(const std::vector<v2::Message> requests, receiver->Receive(1, kPoll));
      if (requests.empty()) continue;
      ++seen;
      RETURN_IF_ERROR(Answer(client, requests[0], session));
      RETURN_IF_ERROR(client->Ack(receiver_.topic, receiver_.group, requests));
      session->out().flush();
      if (!session->out().good()) return absl::OkStatus();  // Whoever read it has gone.
    }
    return absl::OkStatus();
  }

 private:
  static std::string Property(const v2::Message& message, const char* name) {
    const auto found = message.user_properties().find(name);
    return found == message.user_properties().end() ? "" : found->second;
  }

  // By the requester's clock at its beginning and ours at its end, as good as they agree.
  static bool IsTooOld(const v2::Message& request) {
    int64_t ttl_ms = 0;
    if (!absl::SimpleAtoi(Property(request, kReplyTtl), &ttl_ms)) return false;
    return FromProto(request.system_properties().born_timestamp()) + absl::Milliseconds(ttl_ms) < RealClock()->Now();
  }

  // OK also if no answer can be given: another try would end the same way.
  absl::Status Answer(Client* client, const v2::Message& request, Session* session) const {
    const std::string topic = Property(request, kReplyTopic);
    const std::string& id = request.system_properties().message_id();
    if (topic.empty()) {
      session->err() << "baridctl: " << id << " has no property " << kReplyTopic << ", so nobody waits for an answer\n";
      return absl::OkStatus();
    }
    if (IsTooOld(request)) {
      Show(id, "nobody waits for it any more", "", session);
      return absl::OkStatus();
    }
    v2::Message reply;
    RETURN_IF_ERROR(Fill(request, &reply));
    *reply.mutable_topic() = client->Resource(topic);
    const absl::StatusOr<v2::SendResultEntry> sent = client->Send(reply);
    if (!sent.ok() && ExitCodeOf(sent.status()) != ExitCode::kRefused) return sent.status();
    if (sent.ok()) {
      Show(id, "", sent->message_id(), session);
    } else {
      Show(id, sent.status().message(), "", session);
    }
    return absl::OkStatus();
  }

  absl::Status Fill(const v2::Message& request, v2::Message* reply) const {
    v2::SystemProperties* const system = reply->mutable_system_properties();
    system->set_message_type(v2::NORMAL);
    system->set_body_encoding(v2::IDENTITY);
    if (const std::string tag = Property(request, kReplyTag); !tag.empty()) system->set_tag(tag);
    auto& properties = *reply->mutable_user_properties();
    if (const std::string id = Property(request, kCorrelationId); !id.empty()) properties[kCorrelationId] = id;
    if (!exec_.empty()) return Execute(request, reply);
    reply->set_body(echo_ ? request.body() : fixed_body_);
    return absl::OkStatus();
  }

  absl::Status Execute(const v2::Message& request, v2::Message* reply) const {
    const v2::SystemProperties& system = request.system_properties();
    ASSIGN_OR_RETURN(const ProgramResult result, RunProgram(exec_, request.body(),
                                                            {{"BARID_MESSAGE_ID", system.message_id()},
                                                             {"BARID_TOPIC", receiver_.topic},
                                                             {"BARID_TAG", system.tag()}},
                                                            static_cast<size_t>(kMaxMessageBytes)));
    reply->set_body(result.output.empty() ? kNothing : result.output);
    auto& properties = *reply->mutable_user_properties();
    if (!result.failure.empty()) {
      properties[kReplyError] = result.failure;
    } else if (result.is_cut) {
      properties[kReplyError] = absl::StrCat("it wrote more than ", kMaxMessageBytes, " bytes, the rest is missing");
    }
    return absl::OkStatus();
  }

  static void Show(const std::string& request, absl::string_view why_not, const std::string& reply, Session* session) {
    if (session->json()) {
      JsonWriter json;
      json.BeginObject().Field("request", request);
      if (why_not.empty()) {
        json.Field("reply", reply);
      } else {
        json.Field("not_answered", why_not);
      }
      session->out() << json.End().text() << "\n";
    } else if (why_not.empty()) {
      session->out() << "answered " << request << " by " << reply << "\n";
    } else {
      session->out() << "did not answer " << request << ": " << why_not << "\n";
    }
  }

  ReceiverOptions receiver_;
  BodyFlags body_;
  std::string fixed_body_;
  std::string exec_;
  bool echo_ = false;
  int32_t max_ = 0;
};

}  // namespace

void AddReplyCommand(std::vector<CommandEntry>* commands) {
  commands->push_back({"reply", "TOPIC", "Answers requests until an interrupt.", Make<Reply>()});
}

}  // namespace barid::cli
