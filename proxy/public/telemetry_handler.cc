#include "proxy/public/telemetry_handler.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/stored_message.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proxy/public/exchange.h"
#include "proxy/public/frame_writer.h"
#include "proxy/public/settings.h"
#include "proxy/validation.h"

namespace barid::proxy {
namespace {

// The same bytes for equal messages, so that answers can be compared.
std::string SerializeDeterministic(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    CHECK(message.SerializeToCodedStream(&coded));
  }
  return bytes;
}

class TelemetryStream : public edge::StreamHandler,
                        public ClientSession,
                        public std::enable_shared_from_this<TelemetryStream> {
 public:
  TelemetryStream(Proxy* proxy, std::shared_ptr<edge::Stream> stream)
      : proxy_(proxy),
        stream_(stream),
        caller_(CallerOf(stream->head())),
        writer_(std::move(stream), proxy->options().limits.max_telemetry_frames) {}

  void OnMessage(Bytes message) override;
  void OnHalfClose() override { writer_.Finish(absl::OkStatus()); }
  void OnWritable() override { writer_.OnWritable(); }
  // The client is to look for another proxy.
  void OnDrain() override { writer_.Finish(absl::OkStatus()); }
  void OnDone(bool delivered) override {
    proxy_->clients().CloseSession(caller_.id, this);
    writer_.Close();
  }

  void Refresh(const Metadata& metadata) override { SendSettings(metadata, /*even_if_same=*/false); }
  void Recover(const OrphanedTransaction& transaction) override;
  std::vector<ClientRead> Reads() override;
  std::vector<std::pair<std::string, std::string>> Properties() override;
  void PrintThreads(absl::string_view nonce) override;
  void Verify(absl::string_view nonce, const Bytes& message) override;

 private:
  void OnSettings(const v2::Settings& settings);
  void SendSettings(const Metadata& metadata, bool even_if_same);
  v2::TelemetryCommand OkCommand() const;
  // A command that has a message and a text; its number and theirs.
  void PushAboutMessage(int command, int message_field, const Bytes& message, int text_field, absl::string_view text);
  // Tells the client why, and ends the stream.
  void Refuse(const absl::Status& status);

  Proxy* const proxy_;
  const std::shared_ptr<edge::Stream> stream_;  // Keeps the head that caller_ looks into.
  const Caller caller_;
  FrameWriter writer_;

  Mutex mu_;
  std::optional<v2::Settings> settings_ ABSL_GUARDED_BY(mu_);  // The client's last.
  std::string last_answer_ ABSL_GUARDED_BY(mu_);
};

void TelemetryStream::OnMessage(Bytes message) {
  v2::TelemetryCommand command;
  if (const absl::Status status = Parse(message, &command); !status.ok()) return Refuse(status);
  if (const absl::Status status = CheckCaller(caller_); !status.ok()) return Refuse(status);
  proxy_->clients().Heard(caller_.id);
  if (command.has_settings()) return OnSettings(command.settings());
  ClientAnswer answer;
  answer.code = command.status().code();
  answer.sentence = command.status().message();
  if (command.has_thread_stack_trace()) {
    const v2::ThreadStackTrace& trace = command.thread_stack_trace();
    if (trace.has_thread_stack_trace()) answer.text = trace.thread_stack_trace();
    return proxy_->questions().Answer(caller_.id, trace.nonce(), std::move(answer));
  }
  if (command.has_verify_message_result())
    return proxy_->questions().Answer(caller_.id, command.verify_message_result().nonce(), std::move(answer));
  // Node.js sends back what it was sent.
  if (command.has_verify_message_command())
    return proxy_->questions().Answer(caller_.id, command.verify_message_command().nonce(), std::move(answer));
  LOG(DEBUG) << "telemetry command ignored" << KV("client", caller_.id) << KV("command", command.command_case());
}

void TelemetryStream::OnSettings(const v2::Settings& settings) {
  ClientProfile profile = ProfileOf(settings, caller_.id, caller_.space);
  profile.peer = stream_->head().peer;
  proxy_->clients().Declare(profile);
  if (settings.has_publishing()) {
    std::vector<ResourceName> topics;
    for (const v2::Resource& topic : settings.publishing().topics()) topics.push_back(NameOf(topic, caller_.space));
    proxy_->clients().Produces(caller_.id, topics);
  }
  proxy_->clients().OpenSession(caller_.id, shared_from_this());
  // The answer does not wait for the group: it has the same policy when it is made.
  if (profile.group && CheckGroup(*profile.group).ok()) {
    proxy_->catalog().NeedGroup(*profile.group, [](absl::StatusOr<Snapshot>) {});
  }
  {
    MutexLock lock(&mu_);
    settings_ = settings;
  }
  SendSettings(*proxy_->router().Snapshot(), /*even_if_same=*/true);
}

void TelemetryStream::SendSettings(const Metadata& metadata, bool even_if_same) {
  std::string bytes;
  {
    MutexLock lock(&mu_);
    if (!settings_) return;
    v2::TelemetryCommand command = OkCommand();
    *command.mutable_settings() = AnswerSettings(*settings_, caller_.space, metadata, proxy_->options());
    bytes = SerializeDeterministic(command);
    if (!even_if_same && bytes == last_answer_) return;
    last_answer_ = bytes;
  }
  writer_.Push(Bytes(std::move(bytes)));
}

std::vector<ClientRead> TelemetryStream::Reads() {
  std::vector<ClientRead> reads;
  MutexLock lock(&mu_);
  if (!settings_ || !settings_->has_subscription()) return reads;
  const v2::Subscription& subscription = settings_->subscription();
  for (const v2::SubscriptionEntry& entry : subscription.subscriptions()) {
    ClientRead& read = reads.emplace_back();
    read.group = NameOf(subscription.group(), caller_.space);
    read.topic = NameOf(entry.topic(), caller_.space);
    read.is_sql = entry.expression().type() == v2::SQL;
    read.expression = entry.expression().expression();
  }
  return reads;
}

std::vector<std::pair<std::string, std::string>> TelemetryStream::Properties() {
  MutexLock lock(&mu_);
  if (!settings_) return {};
  return PropertiesOf(*settings_);
}

void TelemetryStream::Recover(const OrphanedTransaction& transaction) {
  DeliveryFields fields;
  fields.topic = transaction.topic;
  fields.queue_id = transaction.queue;
  fields.store_time = transaction.prepared;
  const absl::StatusOr<Bytes> message = SpliceDelivery(transaction.stored, fields);
  if (!message.ok()) {
    LOG(ERROR) << "the message of a transaction cannot be read" << KV("topic", transaction.topic.ToString())
               << KV("status", message.status());
    return;
  }
  PushAboutMessage(v2::TelemetryCommand::kRecoverOrphanedTransactionCommandFieldNumber,
                   v2::RecoverOrphanedTransactionCommand::kMessageFieldNumber, *message,
                   v2::RecoverOrphanedTransactionCommand::kTransactionIdFieldNumber, transaction.id);
}

void TelemetryStream::PushAboutMessage(int command, int message_field, const Bytes& message, int text_field,
                                       absl::string_view text) {
  // The message is shared, not copied, so the command is put together by hand.
  const auto tag = [](int field) { return static_cast<uint64_t>(field) << 3 | 2; };
  std::string front;
  PutVarint(&front, tag(message_field));
  PutVarint(&front, message.size());
  std::string back;
  PutVarint(&back, tag(text_field));
  PutLengthPrefixed(&back, text);
  std::string head = OkCommand().SerializeAsString();
  PutVarint(&head, tag(command));
  PutVarint(&head, front.size() + message.size() + back.size());
  head += front;
  Bytes frame{Buffer(std::move(head))};
  frame.Append(message);
  frame.Append(Buffer(std::move(back)));
  writer_.Push(std::move(frame));
}

void TelemetryStream::PrintThreads(absl::string_view nonce) {
  v2::TelemetryCommand command = OkCommand();
  command.mutable_print_thread_stack_trace_command()->set_nonce(nonce.data(), nonce.size());
  writer_.Push(Serialize(command));
}

void TelemetryStream::Verify(absl::string_view nonce, const Bytes& message) {
  PushAboutMessage(v2::TelemetryCommand::kVerifyMessageCommandFieldNumber,
                   v2::VerifyMessageCommand::kMessageFieldNumber, message, v2::VerifyMessageCommand::kNonceFieldNumber,
                   nonce);
}

v2::TelemetryCommand TelemetryStream::OkCommand() const {
  v2::TelemetryCommand command;
  WriteStatus(absl::OkStatus(), StatusUse::kOther, caller_, proxy_, command.mutable_status());
  return command;
}

void TelemetryStream::Refuse(const absl::Status& status) {
  v2::TelemetryCommand command;
  WriteStatus(status, StatusUse::kOther, caller_, proxy_, command.mutable_status());
  writer_.Push(Serialize(command));
  writer_.Finish(absl::Status(absl::StatusCode::kInvalidArgument, status.message()));
}

}  // namespace

void AddTelemetryHandler(Proxy* proxy, edge::MethodTable* table) {
  table->streams[absl::StrCat(kMessagingService, "Telemetry")] = [proxy](std::shared_ptr<edge::Stream> stream) {
    return std::make_shared<TelemetryStream>(proxy, std::move(stream));
  };
}

}  // namespace barid::proxy
