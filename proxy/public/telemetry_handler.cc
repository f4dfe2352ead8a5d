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
  void OnDone(bool delivered) override {
    proxy_->clients().CloseSession(caller_.id, this);
    writer_.Close();
  }

  void Refresh(const Metadata& metadata) override { SendSettings(metadata, /*even_if_same=*/false); }
  void Recover(const OrphanedTransaction& transaction) override;
  std::vector<ClientRead> Reads() override;
  void End() override { writer_.Finish(absl::OkStatus()); }

 private:
  void OnSettings(const v2::Settings& settings);
  void SendSettings(const Metadata& metadata, bool even_if_same);
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
  // Answers to commands; what this version sends is not answered on the stream.
  LOG(DEBUG) << "telemetry command ignored" << KV("client", caller_.id) << KV("command", command.command_case());
}

void TelemetryStream::OnSettings(const v2::Settings& settings) {
  const ClientProfile profile = ProfileOf(settings, caller_.id, caller_.space);
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
    v2::TelemetryCommand command;
    WriteStatus(absl::OkStatus(), StatusUse::kOther, caller_, proxy_, command.mutable_status());
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
  // The message is shared, not copied, so the command is put together by hand.
  const auto tag = [](int field) { return static_cast<uint64_t>(field) << 3 | 2; };
  std::string front;
  PutVarint(&front, tag(v2::RecoverOrphanedTransactionCommand::kMessageFieldNumber));
  PutVarint(&front, message->size());
  std::string back;
  PutVarint(&back, tag(v2::RecoverOrphanedTransactionCommand::kTransactionIdFieldNumber));
  PutLengthPrefixed(&back, transaction.id);
  v2::TelemetryCommand ok;
  WriteStatus(absl::OkStatus(), StatusUse::kOther, caller_, proxy_, ok.mutable_status());
  std::string head = ok.SerializeAsString();
  PutVarint(&head, tag(v2::TelemetryCommand::kRecoverOrphanedTransactionCommandFieldNumber));
  PutVarint(&head, front.size() + message->size() + back.size());
  head += front;
  Bytes frame{Buffer(std::move(head))};
  frame.Append(*message);
  frame.Append(Buffer(std::move(back)));
  writer_.Push(std::move(frame));
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
