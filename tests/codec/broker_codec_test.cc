#include "codec/broker_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tuple>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/message_differencer.h"

namespace barid {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;
using ::testing::HasSubstr;

// Gives every field of a message, also those that are added later, a value that no other field has.
class Filler {
 public:
  void Fill(Message* message) {
    for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* const field = message->GetDescriptor()->field(i);
      // Of payloads one: a status does not keep their order.
      const int count = field->is_repeated() && field->name() != "payloads" ? 2 : 1;
      for (int n = 0; n < count; ++n) FillOne(message, field);
    }
  }

 private:
  template <typename T>
  void Put(Message* message, const FieldDescriptor* field,
           void (Reflection::*set)(Message*, const FieldDescriptor*, T) const,
           void (Reflection::*add)(Message*, const FieldDescriptor*, T) const, T value) {
    (message->GetReflection()->*(field->is_repeated() ? add : set))(message, field, std::move(value));
  }

  void FillOne(Message* message, const FieldDescriptor* field) {
    const Reflection* const reflection = message->GetReflection();
    const int n = ++last_;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Fill(field->is_repeated() ? reflection->AddMessage(message, field)
                                         : reflection->MutableMessage(message, field));
      case FieldDescriptor::CPPTYPE_INT32:
        // A status has codes up to 16.
        return Put<int32_t>(message, field, &Reflection::SetInt32, &Reflection::AddInt32,
                            field->name() == "code" ? 1 + n % 16 : n);
      case FieldDescriptor::CPPTYPE_INT64:
        return Put<int64_t>(message, field, &Reflection::SetInt64, &Reflection::AddInt64, n);
      case FieldDescriptor::CPPTYPE_UINT32:
        return Put<uint32_t>(message, field, &Reflection::SetUInt32, &Reflection::AddUInt32, n);
      case FieldDescriptor::CPPTYPE_UINT64:
        return Put<uint64_t>(message, field, &Reflection::SetUInt64, &Reflection::AddUInt64, n);
      case FieldDescriptor::CPPTYPE_BOOL:
        return Put<bool>(message, field, &Reflection::SetBool, &Reflection::AddBool, true);
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int last = field->enum_type()->value(field->enum_type()->value_count() - 1)->number();
        return Put<int>(message, field, &Reflection::SetEnumValue, &Reflection::AddEnumValue, last);
      }
      case FieldDescriptor::CPPTYPE_STRING:
        return Put<std::string>(message, field, &Reflection::SetString, &Reflection::AddString,
                                absl::StrCat("text ", n));
      default:
        FAIL() << field->full_name() << " is of a kind that no field had so far";
    }
  }

  int last_ = 100;
};

template <typename T>
T Filled() {
  T message;
  Filler().Fill(&message);
  return message;
}

// `sent` went through the structs and is `returned`. A field that one end forgot is missing.
void ExpectSame(const Message& sent, const Message& returned) {
  std::string difference;
  ::google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differencer.Compare(sent, returned)) << sent.GetTypeName() << ":\n" << difference;
}

// The fields of the structs, so that one which is in a struct alone is noticed: a new one does not compile until it is
// here, and then fails until it is on the wire.
auto Fields(const AppendCall& in) {
  const auto& [shard, topic, revision, queue, lite_topic, messages, prepare] = in;
  return std::make_tuple(shard, topic, revision, queue, lite_topic, messages.size(), prepare);
}
auto Fields(const AppendCall::Message& in) {
  const auto& [stored, tag_hash, deliver_at, check_after, message_group, id_hash, content_hash] = in;
  return std::make_tuple(stored.size(), tag_hash, deliver_at, check_after, message_group, id_hash, content_hash);
}
auto Fields(const AppendResult& in) {
  const auto& [status, entries] = in;
  return std::make_tuple(status, entries.size());
}
auto Fields(const AppendResult::Entry& in) {
  const auto& [status, queue, offset, timer, transaction, shard] = in;  // The shard is the proxy's.
  return std::make_tuple(status, queue, offset, timer, transaction);
}
auto Fields(const RecallCall& in) {
  const auto& [shard, timer] = in;
  return std::make_tuple(shard, timer);
}
auto Fields(const TimerKey& in) {
  const auto& [deliver_at_us, index, entry] = in;
  return std::make_tuple(deliver_at_us, index, entry);
}
auto Fields(const TransactionKey& in) {
  const auto& [index, entry] = in;
  return std::make_tuple(index, entry);
}
auto Fields(const EndTransactionCall& in) {
  const auto& [shard, transaction, commit] = in;
  return std::make_tuple(shard, transaction, commit);
}
auto Fields(const ChecksCall& in) {
  const auto& [shard, proxy, topics, max_checks, max_bytes] = in;
  return std::make_tuple(shard, proxy, topics, max_checks, max_bytes);
}
auto Fields(const TransactionCheck& in) {
  const auto& [transaction, queue, stored, prepared, check] = in;
  return std::make_tuple(transaction, queue, stored.size(), prepared, check);
}
auto Fields(const TransactionsCall& in) {
  const auto& [shard, topic, discarded, limit] = in;
  return std::make_tuple(shard, topic, discarded, limit);
}
auto Fields(const TransactionInfo& in) {
  const auto& [shard, message_id, since, checks, next_check, reason] = in;
  return std::make_tuple(shard, message_id, since, checks, next_check, reason);
}
auto Fields(const LookupCall& in) {
  const auto& [shard, topic, kind, text, queue, offset, from, to, max_messages, max_bytes, resume] = in;
  return std::make_tuple(shard, topic, kind, text, queue, offset, from, to, max_messages, max_bytes, resume);
}
auto Fields(const FoundMessage& in) {
  const auto& [state, queue, offset, entered, stored_at, due, log_index, log_position, stored, origin] = in;
  return std::make_tuple(state, queue, offset, entered, stored_at, due, log_index, log_position, stored.size(),
                         origin.has_value());
}
auto Fields(const LifeEvent& in) {
  const auto& [time, log_index, what, group, queue, offset, client, attempt, until, detail] = in;
  return std::make_tuple(time, log_index, what, group, queue, offset, client, attempt, until, detail);
}
auto Fields(const GroupStanding& in) {
  const auto& [group, queue, offset, standing, client, attempt, until, detail, blocked_by, waiting] = in;
  return std::make_tuple(group, queue, offset, standing, client, attempt, until, detail, blocked_by.has_value(),
                         waiting.size());
}
auto Fields(const GroupStanding::Blocker& in) {
  const auto& [offset, message_id, client, attempt, until] = in;
  return std::make_tuple(offset, message_id, client, attempt, until);
}
auto Fields(const WaitingFilter& in) {
  const auto& [tags, sql, receives] = in;
  return std::make_tuple(tags, sql, receives);
}
auto Fields(const LookupResult& in) {
  const auto& [status, messages, resume, events, standings, log_from] = in;
  return std::make_tuple(status, messages.size(), resume, events.size(), standings.size(), log_from);
}
auto Fields(const RedriveCall& in) {
  const auto& [shard, group, revision, topic, tags, sql, from, to, max_messages, dry_run] = in;
  return std::make_tuple(shard, group, revision, topic, tags, sql, from, to, max_messages, dry_run);
}
auto Fields(const RedriveResult& in) {
  const auto& [status, redriven, filtered_out, failed, failure, next, end] = in;
  return std::make_tuple(status, redriven, filtered_out, failed, failure, next, end);
}
auto Fields(const ReceiveCall& in) {
  const auto& [shard, group, topic, revision, tags, sql, max_messages, max_bytes, invisible, renew, client, attempt,
               wait] = in;
  return std::make_tuple(shard, group, topic, revision, tags, sql, max_messages, max_bytes, invisible, renew, client,
                         attempt, wait);
}
auto Fields(const PullCall& in) {
  const auto& [shard, group, queue, revision, offset, tags, sql, max_messages, max_bytes, wait] = in;
  return std::make_tuple(shard, group, queue, revision, offset, tags, sql, max_messages, max_bytes, wait);
}
auto Fields(const QueryOffsetCall& in) {
  const auto& [shard, queue, revision, policy, time] = in;
  return std::make_tuple(shard, queue, revision, policy, time);
}
auto Fields(const GetOffsetCall& in) {
  const auto& [shard, group, queue, revision] = in;
  return std::make_tuple(shard, group, queue, revision);
}
auto Fields(const UpdateOffsetCall& in) {
  const auto& [shard, group, queue, revision, offset] = in;
  return std::make_tuple(shard, group, queue, revision, offset);
}
std::string Words(const LiteStart& in) {
  return absl::StrCat(static_cast<int>(in.kind), ":", in.count, ":", absl::ToUnixMicros(in.time));
}
auto Fields(const LiteSyncCall& in) {
  const auto& [shard, group, topic, revision, client_id, action, lite_topics, version, quota, start] = in;
  return std::make_tuple(shard, group, topic, revision, client_id, action, lite_topics, version, quota,
                         start.has_value(), Words(start.value_or(LiteStart())));
}
auto Fields(const LiteSyncResult& in) {
  const auto& [status] = in;
  return std::make_tuple(status);
}
auto Fields(const OffsetResult& in) {
  const auto& [status, offset] = in;
  return std::make_tuple(status, offset);
}
auto Fields(const ResetOffsetCall& in) {
  const auto& [shard, group, topic, revision, queues, target, offset, time, stored, dry_run] = in;
  return std::make_tuple(shard, group, topic, revision, queues, target, offset, time, stored, dry_run);
}
auto Fields(const ResetOffsetResult& in) {
  const auto& [status, entries] = in;
  return std::make_tuple(status, entries.size());
}
auto Fields(const ResetOffsetResult::Entry& in) {
  const auto& [status, queue, from, to, end, in_flight, parked] = in;
  return std::make_tuple(status, queue, from, to, end, in_flight, parked);
}
auto Fields(const Delivery& in) {
  const auto& [stored, queue, offset, attempt, nonce, store_time, invisible, origin] = in;
  return std::make_tuple(queue, offset, attempt, nonce, store_time, invisible, origin.has_value());
}
auto Fields(const Delivery::Origin& in) {
  const auto& [topic, topic_name, message_id, attempts, reason] = in;
  return std::make_tuple(topic, topic_name, message_id, attempts, reason);
}
auto Fields(const SettleCall& in) {
  const auto& [shard, entries] = in;
  return std::make_tuple(shard, entries.size());
}
auto Fields(const SettleEntry& in) {
  const auto& [group, queue, offset, nonce, kind, delay, reason] = in;
  return std::make_tuple(group, queue, offset, nonce, kind, delay, reason);
}
auto Fields(const SettleResult& in) {
  const auto& [status, entries] = in;
  return std::make_tuple(status, entries.size());
}
auto Fields(const SentReport& in) {
  const auto& [shard, entries] = in;
  return std::make_tuple(shard, entries.size());
}
auto Fields(const SentReport::Entry& in) {
  const auto& [group, queue, offset, nonce] = in;
  return std::make_tuple(group, queue, offset, nonce);
}
auto Fields(const ClientReport& in) {
  const auto& [proxy, alive, gone] = in;
  return std::make_tuple(proxy, alive, gone);
}
auto Fields(const StatsCall& in) {
  const auto& [topic, group, counts_only] = in;
  return std::make_tuple(topic, group, counts_only);
}
auto Fields(const GroupCount& in) {
  const auto& [shard, group, topic, ready, in_flight, blocked, delayed, dead_lettered, oldest] = in;
  return std::make_tuple(shard, group, topic, ready, in_flight, blocked, delayed, dead_lettered, oldest);
}
auto Fields(const QueueStats& in) {
  const auto& [shard, queue, first, end, bytes, delayed, repeated_sends, reused_ids, lite_topics, groups] = in;
  return std::make_tuple(shard, queue, first, end, bytes, delayed, repeated_sends, reused_ids, lite_topics,
                         groups.size());
}
auto Fields(const QueueStats::Group& in) {
  const auto& [group, floor, next, in_flight, ready_again, parked] = in;
  return std::make_tuple(group, floor, next, in_flight, ready_again, parked);
}

// Every field came to have a value that it does not have by itself.
template <typename T>
void ExpectAllSet(const T& decoded) {
  const auto fields = Fields(decoded);
  const auto defaults = Fields(T());
  const std::vector<bool> left = [&]<size_t... i>(std::index_sequence<i...>) {
    return std::vector<bool>{(std::get<i>(fields) == std::get<i>(defaults))...};
  }
  (std::make_index_sequence<std::tuple_size_v<decltype(fields)>>());
  for (size_t i = 0; i < left.size(); ++i) EXPECT_FALSE(left[i]) << "field " << i + 1 << " of " << typeid(T).name();
}

TEST(BrokerCodecTest, AnAppendSurvivesTheWire) {
  const auto sent = Filled<broker_pb::Append>();
  const AppendCall call = Decode(sent, nullptr);
  ExpectAllSet(call);
  ExpectAllSet(call.messages.at(0));
  broker_pb::Append returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);
}

TEST(BrokerCodecTest, MessagesOfAnAppendAreNotCopiedAndKeepTheFrame) {
  auto frame = std::make_shared<broker_pb::Append>(Filled<broker_pb::Append>());
  const char* const bytes = frame->messages(0).stored().data();
  const AppendCall call = Decode(*frame, frame);
  const std::weak_ptr<broker_pb::Append> weak = frame;
  frame = nullptr;
  EXPECT_EQ(call.messages.at(0).stored.data(), bytes);
  EXPECT_FALSE(weak.expired());
}

TEST(BrokerCodecTest, TheAnswerToAnAppendSurvivesTheWire) {
  const auto sent = Filled<broker_pb::AppendAnswer>();
  const AppendResult result = Decode(sent);
  ExpectAllSet(result);
  ExpectAllSet(result.entries.at(0));
  broker_pb::AppendAnswer returned;
  Encode(result, &returned);
  ExpectSame(sent, returned);
}

TEST(BrokerCodecTest, ARecallAndItsAnswerSurviveTheWire) {
  const auto sent = Filled<broker_pb::Recall>();
  const RecallCall call = Decode(sent);
  ExpectAllSet(call);
  ExpectAllSet(call.timer);
  broker_pb::Recall returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);

  const auto answer = Filled<broker_pb::RecallAnswer>();
  const RecallResult result = Decode(answer);
  EXPECT_FALSE(result.status.ok());
  broker_pb::RecallAnswer answer_returned;
  Encode(result, &answer_returned);
  ExpectSame(answer, answer_returned);
}

TEST(BrokerCodecTest, TheEndOfATransactionAndItsAnswerSurviveTheWire) {
  const auto sent = Filled<broker_pb::EndTransaction>();
  const EndTransactionCall call = Decode(sent);
  ExpectAllSet(call);
  ExpectAllSet(call.transaction);
  broker_pb::EndTransaction returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);

  const auto answer = Filled<broker_pb::EndTransactionAnswer>();
  broker_pb::EndTransactionAnswer answer_returned;
  Encode(Decode(answer), &answer_returned);
  ExpectSame(answer, answer_returned);
}

TEST(BrokerCodecTest, ChecksSurviveTheWire) {
  const auto sent = Filled<broker_pb::TakeChecks>();
  const ChecksCall call = Decode(sent);
  ExpectAllSet(call);
  broker_pb::TakeChecks returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);

  const auto answer = Filled<broker_pb::TakeChecksAnswer>();
  const ChecksResult result = Decode(answer);
  ExpectAllSet(result.checks.at(0));
  broker_pb::TakeChecksAnswer answer_returned;
  Encode(result, &answer_returned);
  ExpectSame(answer, answer_returned);
}

TEST(BrokerCodecTest, ListsOfTransactionsSurviveTheWire) {
  const auto sent = Filled<broker_pb::ListTransactions>();
  const TransactionsCall call = Decode(sent);
  ExpectAllSet(call);
  broker_pb::ListTransactions returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);

  const auto answer = Filled<broker_pb::ListTransactionsAnswer>();
  const TransactionsResult result = Decode(answer);
  ExpectAllSet(result.transactions.at(0));
  broker_pb::ListTransactionsAnswer answer_returned;
  Encode(result, &answer_returned);
  ExpectSame(answer, answer_returned);
}

TEST(BrokerCodecTest, ASearchForMessagesSurvivesTheWire) {
  auto sent = Filled<broker_pb::Lookup>();
  sent.set_kind(static_cast<int32_t>(LookupCall::Kind::kExplain));
  const LookupCall call = Decode(sent);
  ExpectAllSet(call);
  broker_pb::Lookup returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);
  EXPECT_EQ(Decode(broker_pb::Lookup()).from, absl::InfinitePast());
  EXPECT_EQ(Decode(broker_pb::Lookup()).to, absl::InfiniteFuture());

  auto answer = Filled<broker_pb::LookupAnswer>();
  for (auto& message : *answer.mutable_messages()) message.set_state(static_cast<int32_t>(FoundMessage::State::kGone));
  const LookupResult result = Decode(answer);
  ExpectAllSet(result);
  ExpectAllSet(result.messages.at(0));
  ExpectAllSet(result.events.at(0));
  ExpectAllSet(result.standings.at(0));
  ExpectAllSet(result.standings.at(0).blocked_by.value());
  ExpectAllSet(result.standings.at(0).waiting.at(0));
  broker_pb::LookupAnswer answer_returned;
  Encode(result, &answer_returned);
  ExpectSame(answer, answer_returned);
}

TEST(BrokerCodecTest, ARedriveSurvivesTheWire) {
  const auto sent = Filled<broker_pb::Redrive>();
  const RedriveCall call = Decode(sent);
  ExpectAllSet(call);
  broker_pb::Redrive returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);

  const auto answer = Filled<broker_pb::RedriveAnswer>();
  const RedriveResult result = Decode(answer);
  ExpectAllSet(result);
  broker_pb::RedriveAnswer answer_returned;
  Encode(result, &answer_returned);
  ExpectSame(answer, answer_returned);
}

TEST(BrokerCodecTest, AReceiveSurvivesTheWire) {
  auto sent = Filled<broker_pb::Receive>();
  sent.clear_id();  // The lane's.
  const ReceiveCall call = Decode(sent);
  ExpectAllSet(call);
  broker_pb::Receive returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);
}

TEST(BrokerCodecTest, APullSurvivesTheWire) {
  auto sent = Filled<broker_pb::Pull>();
  sent.clear_id();  // The lane's.
  const PullCall call = Decode(sent);
  ExpectAllSet(call);
  broker_pb::Pull returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);
}

TEST(BrokerCodecTest, CallsAboutOffsetsSurviveTheWire) {
  const auto query = Filled<broker_pb::QueryOffset>();
  const absl::StatusOr<QueryOffsetCall> query_call = Decode(query);
  ASSERT_TRUE(query_call.ok());
  ExpectAllSet(*query_call);
  broker_pb::QueryOffset query_returned;
  Encode(*query_call, &query_returned);
  ExpectSame(query, query_returned);

  const auto get = Filled<broker_pb::GetOffset>();
  ExpectAllSet(Decode(get));
  broker_pb::GetOffset get_returned;
  Encode(Decode(get), &get_returned);
  ExpectSame(get, get_returned);

  const auto update = Filled<broker_pb::UpdateOffset>();
  ExpectAllSet(Decode(update));
  broker_pb::UpdateOffset update_returned;
  Encode(Decode(update), &update_returned);
  ExpectSame(update, update_returned);

  const auto answer = Filled<broker_pb::OffsetAnswer>();
  ExpectAllSet(Decode(answer));
  broker_pb::OffsetAnswer answer_returned;
  Encode(Decode(answer), &answer_returned);
  ExpectSame(answer, answer_returned);
}

TEST(BrokerCodecTest, ALiteSubscriptionSurvivesTheWire) {
  const auto sent = Filled<broker_pb::SyncLite>();
  for (const LiteStart& start : {LiteStart{LiteStart::Kind::kOffset, 3, absl::UnixEpoch()},
                                 LiteStart{LiteStart::Kind::kTail, 0, absl::UnixEpoch()},
                                 LiteStart{LiteStart::Kind::kTime, 0, absl::FromUnixMicros(7)}}) {
    LiteSyncCall one;
    one.start = start;
    broker_pb::SyncLite wire;
    Encode(one, &wire);
    EXPECT_EQ(Words(Decode(wire).value().start.value()), Words(start));
  }
  const absl::StatusOr<LiteSyncCall> call = Decode(sent);
  ASSERT_TRUE(call.ok());
  ExpectAllSet(*call);
  broker_pb::SyncLite returned;
  Encode(*call, &returned);
  ExpectSame(sent, returned);

  const auto answer = Filled<broker_pb::SyncLiteAnswer>();
  ExpectAllSet(Decode(answer));
  broker_pb::SyncLiteAnswer answer_returned;
  Encode(Decode(answer), &answer_returned);
  ExpectSame(answer, answer_returned);

  broker_pb::SyncLite unknown;
  unknown.set_action(static_cast<broker_pb::SyncLite::Action>(broker_pb::SyncLite::Action_MAX + 1));
  EXPECT_EQ(Decode(unknown).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BrokerCodecTest, AResetSurvivesTheWire) {
  const auto sent = Filled<broker_pb::ResetOffset>();
  const absl::StatusOr<ResetOffsetCall> call = Decode(sent);
  ASSERT_TRUE(call.ok());
  ExpectAllSet(*call);
  broker_pb::ResetOffset returned;
  Encode(*call, &returned);
  ExpectSame(sent, returned);

  const auto answer = Filled<broker_pb::ResetOffsetAnswer>();
  const ResetOffsetResult result = Decode(answer);
  ExpectAllSet(result);
  ExpectAllSet(result.entries.at(0));
  broker_pb::ResetOffsetAnswer answer_returned;
  Encode(result, &answer_returned);
  ExpectSame(answer, answer_returned);
}

TEST(BrokerCodecTest, RefusesPoliciesAndTargetsThatItDoesNotKnow) {
  broker_pb::QueryOffset query;
  query.set_policy(static_cast<broker_pb::QueryOffset::Policy>(broker_pb::QueryOffset::Policy_MAX + 1));
  EXPECT_EQ(Decode(query).status().code(), absl::StatusCode::kInvalidArgument);
  broker_pb::ResetOffset reset;
  reset.set_target(static_cast<broker_pb::ResetOffset::Target>(broker_pb::ResetOffset::Target_MAX + 1));
  EXPECT_EQ(Decode(reset).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BrokerCodecTest, ADeliverySurvivesTheWireButForItsBytes) {
  auto sent = Filled<broker_pb::Delivery>();
  sent.clear_stored();  // Travels in pieces.
  Delivery delivery = DecodeHead(sent);
  ExpectAllSet(delivery);
  ExpectAllSet(delivery.origin.value());
  EXPECT_EQ(delivery.stored.size(), 0u);
  delivery.stored = Buffer(std::string(sent.stored_bytes(), 'x'));
  broker_pb::Delivery returned;
  EncodeHead(delivery, &returned);
  ExpectSame(sent, returned);

  delivery.origin = std::nullopt;
  returned.Clear();
  EncodeHead(delivery, &returned);
  EXPECT_FALSE(DecodeHead(returned).origin.has_value());
}

TEST(BrokerCodecTest, ASettleSurvivesTheWire) {
  const auto sent = Filled<broker_pb::Settle>();
  const absl::StatusOr<SettleCall> call = Decode(sent);
  ASSERT_TRUE(call.ok()) << call.status();
  ExpectAllSet(*call);
  ExpectAllSet(call->entries.at(0));
  broker_pb::Settle returned;
  Encode(*call, &returned);
  ExpectSame(sent, returned);
}

TEST(BrokerCodecTest, TheAnswerToASettleSurvivesTheWire) {
  auto sent = Filled<broker_pb::SettleAnswer>();
  sent.add_entries();  // OK among errors keeps its place.
  Filler().Fill(sent.add_entries());
  const SettleResult result = Decode(sent);
  ExpectAllSet(result);
  broker_pb::SettleAnswer returned;
  Encode(result, &returned);
  ExpectSame(sent, returned);
}

TEST(BrokerCodecTest, ReportsSurviveTheWire) {
  const auto sent = Filled<broker_pb::SentReport>();
  const SentReport report = Decode(sent);
  ExpectAllSet(report);
  ExpectAllSet(report.entries.at(0));
  broker_pb::SentReport returned;
  Encode(report, &returned);
  ExpectSame(sent, returned);

  const auto clients = Filled<broker_pb::ClientReport>();
  const ClientReport client_report = Decode(clients);
  ExpectAllSet(client_report);
  broker_pb::ClientReport clients_returned;
  Encode(client_report, &clients_returned);
  ExpectSame(clients, clients_returned);
}

TEST(BrokerCodecTest, StatsSurviveTheWire) {
  const auto sent = Filled<broker_pb::Stats>();
  const StatsCall call = Decode(sent);
  ExpectAllSet(call);
  broker_pb::Stats returned;
  Encode(call, &returned);
  ExpectSame(sent, returned);

  const auto queue = Filled<broker_pb::QueueStats>();
  const QueueStats stats = Decode(queue);
  ExpectAllSet(stats);
  ExpectAllSet(stats.groups.at(0));
  broker_pb::QueueStats queue_returned;
  Encode(stats, &queue_returned);
  ExpectSame(queue, queue_returned);

  const auto count = Filled<broker_pb::GroupCount>();
  const GroupCount counted = Decode(count);
  ExpectAllSet(counted);
  broker_pb::GroupCount count_returned;
  Encode(counted, &count_returned);
  ExpectSame(count, count_returned);
}

TEST(BrokerCodecTest, OkIsNothingOnTheWire) {
  broker_pb::AppendAnswer answer;
  Encode(AppendResult{absl::OkStatus(), {AppendResult::Entry()}}, &answer);
  EXPECT_FALSE(answer.has_status());
  EXPECT_FALSE(answer.entries(0).has_status());
  EXPECT_TRUE(Decode(answer).status.ok());
  EXPECT_TRUE(Decode(answer).entries.at(0).status.ok());
}

TEST(BrokerCodecTest, ForEverIsForEverAtTheOtherEnd) {
  ReceiveCall call;
  call.invisible = absl::InfiniteDuration();
  broker_pb::Receive encoded;
  Encode(call, &encoded);
  EXPECT_EQ(Decode(encoded).invisible, absl::InfiniteDuration());
}

TEST(BrokerCodecTest, RefusesASettlementOfAKindThatItDoesNotKnow) {
  broker_pb::Settle settle;
  settle.add_entries()->set_kind(static_cast<broker_pb::SettleKind>(broker_pb::SettleKind_MAX + 1));
  const absl::Status status = Decode(settle).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("settle kind"));
}

}  // namespace
}  // namespace barid
