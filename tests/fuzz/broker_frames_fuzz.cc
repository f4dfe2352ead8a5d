// Any bytes as a frame of the streams between proxy and broker: they are no such message, or all that they say can be
// decoded, and what was decoded means the same when it is encoded again.
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "base/log.h"
#include "codec/broker_codec.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/stubs/logging.h"
#include "tests/fuzz/fill_message.h"
#include "tests/fuzz/fuzz.h"

namespace barid {
namespace {

std::string Text(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  CHECK(message.SerializeToCodedStream(&coded));
  coded.Trim();
  return bytes;
}

template <typename T>
T Value(T value) {
  return value;
}
template <typename T>
T Value(absl::StatusOr<T> value) {
  return *std::move(value);
}
template <typename T>
bool IsRefused(const T&) {
  return false;
}
template <typename T>
bool IsRefused(const absl::StatusOr<T>& value) {
  if (!value.ok()) CHECK(absl::IsInvalidArgument(value.status())) << value.status();
  return !value.ok();
}

// What was cut (below microseconds, unknown numbers) is cut the first time; from then on nothing changes.
template <typename Message>
void FuzzMessage(const Message& in) {
  const auto decoded = Decode(in);
  if (IsRefused(decoded)) return;
  Message first;
  Encode(Value(decoded), &first);
  const auto again = Decode(first);
  CHECK(!IsRefused(again));
  Message second;
  Encode(Value(again), &second);
  CHECK(Text(first) == Text(second)) << first.GetTypeName();
}

void FuzzAppend(const broker_pb::Append& in) {
  const auto owner = std::make_shared<broker_pb::Append>(in);
  broker_pb::Append first, second;
  Encode(Decode(*owner, owner), &first);
  const auto again = std::make_shared<broker_pb::Append>(first);
  Encode(Decode(*again, again), &second);
  CHECK(Text(first) == Text(second));
}

void FuzzCalls(const broker_pb::CallFrame& frame) {
  for (const broker_pb::Call& call : frame.calls()) {
    switch (call.request_case()) {
      case broker_pb::Call::kAppend:
        FuzzAppend(call.append());
        break;
      case broker_pb::Call::kSettle:
        FuzzMessage(call.settle());
        break;
      case broker_pb::Call::kSent:
        FuzzMessage(call.sent());
        break;
      case broker_pb::Call::kClients:
        FuzzMessage(call.clients());
        break;
      case broker_pb::Call::kStats:
        FuzzMessage(call.stats());
        break;
      case broker_pb::Call::kRecall:
        FuzzMessage(call.recall());
        break;
      case broker_pb::Call::kEndTransaction:
        FuzzMessage(call.end_transaction());
        break;
      case broker_pb::Call::kTakeChecks:
        FuzzMessage(call.take_checks());
        break;
      case broker_pb::Call::kListTransactions:
        FuzzMessage(call.list_transactions());
        break;
      case broker_pb::Call::kQueryOffset:
        FuzzMessage(call.query_offset());
        break;
      case broker_pb::Call::kGetOffset:
        FuzzMessage(call.get_offset());
        break;
      case broker_pb::Call::kUpdateOffset:
        FuzzMessage(call.update_offset());
        break;
      case broker_pb::Call::kResetOffset:
        FuzzMessage(call.reset_offset());
        break;
      case broker_pb::Call::kSyncLite:
        FuzzMessage(call.sync_lite());
        break;
      case broker_pb::Call::kLookup:
        FuzzMessage(call.lookup());
        break;
      case broker_pb::Call::kRedrive:
        FuzzMessage(call.redrive());
        break;
      case broker_pb::Call::REQUEST_NOT_SET:
        break;
      default:
        CHECK(false) << "a call without a case here: " << call.request_case();
    }
  }
}

void FuzzAnswers(const broker_pb::AnswerFrame& frame) {
  for (const broker_pb::Answer& answer : frame.answers()) {
    switch (answer.result_case()) {
      case broker_pb::Answer::kAppend:
        FuzzMessage(answer.append());
        break;
      case broker_pb::Answer::kSettle:
        FuzzMessage(answer.settle());
        break;
      case broker_pb::Answer::kStats:
        for (const broker_pb::QueueStats& queue : answer.stats().queues()) FuzzMessage(queue);
        for (const broker_pb::GroupCount& count : answer.stats().counts()) FuzzMessage(count);
        break;
      case broker_pb::Answer::kRecall:
        FuzzMessage(answer.recall());
        break;
      case broker_pb::Answer::kEndTransaction:
        FuzzMessage(answer.end_transaction());
        break;
      case broker_pb::Answer::kTakeChecks:
        FuzzMessage(answer.take_checks());
        break;
      case broker_pb::Answer::kListTransactions:
        FuzzMessage(answer.list_transactions());
        break;
      case broker_pb::Answer::kOffset:
        FuzzMessage(answer.offset());
        break;
      case broker_pb::Answer::kResetOffset:
        FuzzMessage(answer.reset_offset());
        break;
      case broker_pb::Answer::kSyncLite:
        FuzzMessage(answer.sync_lite());
        break;
      case broker_pb::Answer::kLookup:
        FuzzMessage(answer.lookup());
        break;
      case broker_pb::Answer::kRedrive:
        FuzzMessage(answer.redrive());
        break;
      case broker_pb::Answer::RESULT_NOT_SET:
        break;
      default:
        CHECK(false) << "an answer without a case here: " << answer.result_case();
    }
  }
}

void FuzzDeliveries(const broker_pb::DeliveryFrame& frame) {
  for (const broker_pb::Piece& piece : frame.pieces()) {
    if (piece.has_end()) FuzzMessage(piece.end());
    if (!piece.has_delivery()) continue;
    broker_pb::Delivery first, second;
    EncodeHead(DecodeHead(piece.delivery()), &first);
    EncodeHead(DecodeHead(first), &second);
    CHECK(Text(first) == Text(second));
  }
}

void Fuzz(absl::string_view bytes) {
  const google::protobuf::LogSilencer silencer;  // Of text that is not UTF-8.
  const std::string text(bytes);
  broker_pb::CallFrame calls;
  if (calls.ParseFromString(text)) FuzzCalls(calls);
  broker_pb::AnswerFrame answers;
  if (answers.ParseFromString(text)) FuzzAnswers(answers);
  broker_pb::DeliveryFrame deliveries;
  if (deliveries.ParseFromString(text)) FuzzDeliveries(deliveries);
  broker_pb::ReceiveFrame receives;
  if (!receives.ParseFromString(text)) return;
  for (const broker_pb::Receive& receive : receives.receives()) FuzzMessage(receive);
  for (const broker_pb::Pull& pull : receives.pulls()) FuzzMessage(pull);
}

}  // namespace
}  // namespace barid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  barid::Fuzz(absl::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}

namespace {

// A frame for each alternative of what stands in it.
template <typename Frame>
void AddSeeds(google::protobuf::Message* (*add)(Frame*), std::vector<std::string>* seeds) {
  Frame probe;
  const google::protobuf::Descriptor* const inner = add(&probe)->GetDescriptor();
  for (int i = 0; i < inner->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* const field = inner->field(i);
    if (field->real_containing_oneof() == nullptr ||
        field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE)
      continue;
    Frame frame;
    google::protobuf::Message* const message = add(&frame);
    barid::FillMessage({}, message->GetReflection()->MutableMessage(message, field));
    seeds->push_back(frame.SerializeAsString());
  }
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  using namespace barid::broker_pb;
  std::vector<std::string> seeds;
  AddSeeds<CallFrame>([](CallFrame* frame) -> google::protobuf::Message* { return frame->add_calls(); }, &seeds);
  AddSeeds<AnswerFrame>([](AnswerFrame* frame) -> google::protobuf::Message* { return frame->add_answers(); }, &seeds);
  AddSeeds<DeliveryFrame>([](DeliveryFrame* frame) -> google::protobuf::Message* { return frame->add_pieces(); },
                          &seeds);
  ReceiveFrame receives;
  barid::FillMessage({}, &receives);
  seeds.push_back(receives.SerializeAsString());
  return seeds;
}
