// Holds the hand-written encoding of base/stored_message.cc against the code that protoc generates from the public
// contract.
#include "base/stored_message.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "apache/rocketmq/v2/definition.pb.h"
#include "base/coding.h"
#include "base/log.h"
#include "base/random.h"
#include "tests/base/status_matchers.h"

namespace barid {
namespace {

namespace v2 = ::apache::rocketmq::v2;
using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

constexpr char kSha1OfAbc[] = "A9993E364706816ABA3E25717850C26C9CD0D89D";
constexpr char kSha1OfNothing[] = "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709";

MessageDraft SmallDraft() {
  MessageDraft draft;
  draft.message_id = "01";
  draft.body = "abc";
  draft.born_time = absl::FromUnixMillis(1'700'000'000'123);
  return draft;
}

// Every field set, in more than one byte where bytes can be more.
MessageDraft FullDraft() {
  MessageDraft draft = SmallDraft();
  draft.type = MessageType::kFifo;
  draft.tag = "étiquette";
  draft.keys = {"ключ", "", "鍵"};
  draft.message_group = "gruppe ü";
  draft.trace_context = "00-aa-bb-01";
  draft.lite_topic = "lite";
  draft.priority = 7;
  draft.properties = {{"naïve", "☃ snow"}, {"empty", ""}, {"long", "0123456789012345678901234567890123456789"}};
  draft.body_encoding = 2;
  draft.body = "a body of some bytes: \xff\x00\x80";
  draft.born_host = "host:é";
  draft.delivery_time = absl::FromUnixSeconds(1'800'000'000) + absl::Nanoseconds(999'999'999);
  return draft;
}

DeliveryFields FullFields() {
  DeliveryFields fields;
  fields.topic = {"space", "topic"};
  fields.receipt_handle = "receipt";
  fields.queue_id = 300;
  fields.queue_offset = int64_t{1} << 40;
  fields.attempt = 129;
  fields.store_time = absl::FromUnixMicros(1'700'000'001'234'567);
  fields.store_host = "store:1";
  fields.invisible_duration = absl::Milliseconds(30'500);
  fields.dead_letter_origin = {"origin", "origin id"};
  return fields;
}

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

// What a client must see, put together by the generated code.
v2::Message Expected(const MessageDraft& draft, const DeliveryFields& fields, absl::string_view sha1) {
  const auto text = [](absl::string_view in) { return std::string(in); };
  v2::Message message;
  message.mutable_topic()->set_resource_namespace(fields.topic.space);
  message.mutable_topic()->set_name(fields.topic.name);
  for (const auto& [key, value] : draft.properties) (*message.mutable_user_properties())[text(key)] = text(value);
  message.set_body(text(draft.body));
  v2::SystemProperties* const system = message.mutable_system_properties();
  if (draft.tag) system->set_tag(text(*draft.tag));
  for (const absl::string_view key : draft.keys) system->add_keys(text(key));
  system->set_message_id(text(draft.message_id));
  system->mutable_body_digest()->set_type(v2::SHA1);
  system->mutable_body_digest()->set_checksum(text(sha1));
  system->set_body_encoding(draft.body_encoding == 0 ? v2::IDENTITY : static_cast<v2::Encoding>(draft.body_encoding));
  system->set_message_type(static_cast<v2::MessageType>(draft.type));
  SetTime(draft.born_time, system->mutable_born_timestamp());
  system->set_born_host(text(draft.born_host));
  SetTime(fields.store_time, system->mutable_store_timestamp());
  system->set_store_host(text(fields.store_host));
  if (draft.delivery_time) SetTime(*draft.delivery_time, system->mutable_delivery_timestamp());
  system->set_queue_id(fields.queue_id);
  system->set_queue_offset(fields.queue_offset);
  if (!fields.receipt_handle.empty()) {
    system->set_receipt_handle(fields.receipt_handle);
    const int64_t seconds = absl::ToInt64Seconds(fields.invisible_duration);
    system->mutable_invisible_duration()->set_seconds(seconds);
    system->mutable_invisible_duration()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(fields.invisible_duration - absl::Seconds(seconds))));
    system->set_delivery_attempt(fields.attempt);
  }
  if (draft.message_group) system->set_message_group(text(*draft.message_group));
  if (draft.trace_context) system->set_trace_context(text(*draft.trace_context));
  if (fields.dead_letter_origin) {
    system->mutable_dead_letter_queue()->set_topic(fields.dead_letter_origin->topic);
    system->mutable_dead_letter_queue()->set_message_id(fields.dead_letter_origin->message_id);
  }
  if (draft.lite_topic) system->set_lite_topic(text(*draft.lite_topic));
  if (draft.priority) system->set_priority(*draft.priority);
  return message;
}

v2::Message Spliced(const MessageDraft& draft, const DeliveryFields& fields) {
  const absl::StatusOr<Bytes> bytes = SpliceDelivery(EncodeStoredMessage(draft), fields);
  CHECK_OK(bytes.status());
  v2::Message message;
  EXPECT_TRUE(message.ParseFromString(bytes->ToString()));
  return message;
}

MATCHER_P(IsMessage, expected, "") {
  google::protobuf::util::MessageDifferencer differencer;
  std::string differences;
  differencer.ReportDifferencesToString(&differences);
  const bool equal = differencer.Compare(expected, arg);
  *result_listener << differences;
  return equal;
}

// Reads whatever can be read, as a broker and a proxy would: nothing may crash on bytes that were accepted.
void ReadAll(absl::string_view bytes) {
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(bytes);
  if (!view.ok()) {
    EXPECT_THAT(view, StatusIs(StatusCode::kDataLoss));
    return;
  }
  EXPECT_EQ(view->Body().size(), view->body_bytes);
  size_t total = 0;
  for (const auto& [key, value] : view->Properties()) total += key.size() + value.size();
  EXPECT_LE(total, bytes.size());
  EXPECT_THAT(SpliceDelivery(Buffer(std::string(bytes)), FullFields()), IsOk());
}

TEST(StoredMessageTest, ADeliveryIsWhatTheGeneratedCodeWouldSay) {
  EXPECT_THAT(Spliced(SmallDraft(), FullFields()), IsMessage(Expected(SmallDraft(), FullFields(), kSha1OfAbc)));
  // The digest that the server computes is checked by its own test.
  const v2::Message full = Spliced(FullDraft(), FullFields());
  EXPECT_THAT(full, IsMessage(Expected(FullDraft(), FullFields(), full.system_properties().body_digest().checksum())));
}

TEST(StoredMessageTest, EmptyAndAbsentFieldsStayApart) {
  MessageDraft draft = SmallDraft();
  DeliveryFields fields;
  fields.topic.name = "t";
  const v2::Message absent = Spliced(draft, fields);
  EXPECT_THAT(absent, IsMessage(Expected(draft, fields, kSha1OfAbc)));
  EXPECT_FALSE(absent.system_properties().has_tag());
  EXPECT_FALSE(absent.system_properties().has_dead_letter_queue());

  draft.tag = "";
  draft.message_group = "";
  draft.trace_context = "";
  draft.lite_topic = "";
  draft.priority = 0;
  draft.properties = {{"", ""}};
  draft.delivery_time = absl::UnixEpoch();
  draft.message_id = "";
  fields.dead_letter_origin.emplace();
  const v2::Message empty = Spliced(draft, fields);
  EXPECT_THAT(empty, IsMessage(Expected(draft, fields, kSha1OfAbc)));
  EXPECT_TRUE(empty.system_properties().has_tag());
  EXPECT_TRUE(empty.system_properties().has_priority());
}

TEST(StoredMessageTest, TheDigestIsTheSha1OfTheBody) {
  MessageDraft draft = SmallDraft();
  EXPECT_EQ(Spliced(draft, {}).system_properties().body_digest().checksum(), kSha1OfAbc);
  EXPECT_EQ(Spliced(draft, {}).system_properties().body_digest().type(), v2::SHA1);
  draft.body = "";
  EXPECT_EQ(Spliced(draft, {}).system_properties().body_digest().checksum(), kSha1OfNothing);
}

TEST(StoredMessageTest, ABodyEncodingThatWasNotSetIsIdentity) {
  MessageDraft draft = SmallDraft();
  draft.body_encoding = 0;
  EXPECT_EQ(Spliced(draft, {}).system_properties().body_encoding(), v2::IDENTITY);
}

TEST(StoredMessageTest, TimesBeforeTheEpochAndNegativeNumbersSurvive) {
  MessageDraft draft = SmallDraft();
  draft.born_time = absl::UnixEpoch() - absl::Milliseconds(1);
  draft.priority = -1;
  DeliveryFields fields = FullFields();
  fields.queue_id = -1;
  fields.queue_offset = -1;
  fields.invisible_duration = -absl::Milliseconds(1'500);
  EXPECT_THAT(Spliced(draft, fields), IsMessage(Expected(draft, fields, kSha1OfAbc)));
}

TEST(StoredMessageTest, ABrokerReadsWhatAProducerSent) {
  const Buffer stored = EncodeStoredMessage(FullDraft());
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(stored.view());
  ASSERT_THAT(view, IsOk());
  EXPECT_EQ(view->type, MessageType::kFifo);
  EXPECT_EQ(view->message_id, "01");
  EXPECT_EQ(view->tag, "étiquette");
  EXPECT_EQ(view->message_group, "gruppe ü");
  EXPECT_THAT(view->keys, ElementsAre("ключ", "", "鍵"));
  EXPECT_EQ(view->born_time, FullDraft().born_time);
  EXPECT_EQ(view->delivery_time, absl::FromUnixMicros(absl::ToUnixMicros(*FullDraft().delivery_time)));
  EXPECT_EQ(view->priority, 7);
  EXPECT_EQ(view->Body(), FullDraft().body);
  EXPECT_THAT(view->Properties(), ElementsAre(Pair("naïve", "☃ snow"), Pair("empty", ""), FullDraft().properties[2]));
}

TEST(StoredMessageTest, WhatIsAbsentReadsAsAbsent) {
  const Buffer stored = EncodeStoredMessage(SmallDraft());
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(stored.view());
  ASSERT_THAT(view, IsOk());
  EXPECT_EQ(view->tag, std::nullopt);
  EXPECT_EQ(view->message_group, std::nullopt);
  EXPECT_EQ(view->delivery_time, std::nullopt);
  EXPECT_THAT(view->keys, IsEmpty());
  EXPECT_THAT(view->Properties(), IsEmpty());
}

TEST(StoredMessageTest, TheBodyOfADeliveryIsSharedNotCopied) {
  MessageDraft draft = SmallDraft();
  const std::string body(100'000, 'b');
  draft.body = body;
  const Buffer stored = EncodeStoredMessage(draft);
  const absl::StatusOr<Bytes> delivery = SpliceDelivery(stored, FullFields());
  ASSERT_THAT(delivery, IsOk());
  const Buffer& last = delivery->parts().back();
  EXPECT_GE(last.data(), stored.data());
  EXPECT_EQ(last.data() + last.size(), stored.data() + stored.size());
}

TEST(StoredMessageTest, TagHashesAreKnownAndNeverThatOfNoTag) {
  EXPECT_EQ(TagHash("a"), TagHash(std::string("a")));
  EXPECT_NE(TagHash("a"), TagHash("b"));
  for (int i = 0; i < 1000; ++i) EXPECT_NE(TagHash(absl::StrCat(i)), 0u);
}

// Random drafts: a codec written by hand is wrong where nobody looked.
class RandomDraft {
 public:
  explicit RandomDraft(uint64_t seed) : random_(seed) {
    draft_.type = static_cast<MessageType>(1 + random_.Below(6));
    draft_.message_id = Text();
    if (random_.OneIn(2)) draft_.tag = Text();
    for (uint64_t i = random_.Below(4); i > 0; --i) draft_.keys.push_back(Text());
    if (random_.OneIn(2)) draft_.message_group = Text();
    if (random_.OneIn(2)) draft_.trace_context = Text();
    if (random_.OneIn(2)) draft_.lite_topic = Text();
    if (random_.OneIn(2)) draft_.priority = static_cast<int32_t>(random_.Next());
    for (uint64_t i = random_.Below(5); i > 0; --i) draft_.properties.emplace_back(Text(), Text());
    draft_.body_encoding = static_cast<int32_t>(random_.Below(4));
    draft_.body = texts_.emplace_back(random_.Bytes(random_.Below(400)));
    draft_.born_time = Time();
    if (random_.OneIn(2)) draft_.born_host = Text();
    if (random_.OneIn(2)) draft_.delivery_time = Time();

    fields_.topic = {std::string(Text()), std::string(Text())};
    fields_.receipt_handle = std::string(Text());
    fields_.queue_id = static_cast<int32_t>(random_.Next());
    fields_.queue_offset = static_cast<int64_t>(random_.Next() >> random_.Below(64));
    fields_.attempt = static_cast<int32_t>(random_.Below(1000));
    fields_.store_time = Time();
    fields_.store_host = Text();
    fields_.invisible_duration = absl::Nanoseconds(random_.Below(uint64_t{1} << 60));
    if (random_.OneIn(3)) fields_.dead_letter_origin = {std::string(Text()), std::string(Text())};
  }

  const MessageDraft& draft() const { return draft_; }
  const DeliveryFields& fields() const { return fields_; }

 private:
  // Up to 200 characters, of one to four bytes.
  absl::string_view Text() {
    std::string& text = texts_.emplace_back();
    for (uint64_t i = random_.OneIn(10) ? random_.Below(200) : random_.Below(8); i > 0; --i) {
      static constexpr const char* kCharacters[] = {"a", "Z", " ", "\x01", "é", "ß", "鍵", "☃", "🐎", "|"};
      text += kCharacters[random_.Below(std::size(kCharacters))];
    }
    return text;
  }
  // 1900 to 2100.
  absl::Time Time() {
    return absl::FromUnixSeconds(static_cast<int64_t>(random_.Below(6'300'000'000)) - 2'200'000'000) +
           absl::Nanoseconds(random_.Below(1'000'000'000));
  }

  SeededRandom random_;
  std::deque<std::string> texts_;  // What the draft's views look at.
  MessageDraft draft_;
  DeliveryFields fields_;
};

TEST(StoredMessageTest, RandomDraftsAreWhatTheGeneratedCodeWouldSay) {
  const uint64_t first_seed = RealRandom()->Next();
  for (uint64_t seed = first_seed; seed < first_seed + 2000; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    const RandomDraft random(seed);
    const v2::Message message = Spliced(random.draft(), random.fields());
    ASSERT_THAT(message, IsMessage(Expected(random.draft(), random.fields(),
                                            message.system_properties().body_digest().checksum())));

    const Buffer stored = EncodeStoredMessage(random.draft());
    const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(stored.view());
    ASSERT_THAT(view, IsOk());
    ASSERT_EQ(view->type, random.draft().type);
    ASSERT_EQ(view->message_id, random.draft().message_id);
    ASSERT_EQ(view->tag, random.draft().tag);
    ASSERT_EQ(view->message_group, random.draft().message_group);
    ASSERT_EQ(view->keys, random.draft().keys);
    ASSERT_EQ(view->priority, random.draft().priority.value_or(0));
    ASSERT_EQ(view->Properties(), random.draft().properties);
    ASSERT_EQ(view->Body(), random.draft().body);
    ASSERT_EQ(view->born_time, absl::FromUnixMicros(absl::ToUnixMicros(random.draft().born_time)));
  }
}

TEST(StoredMessageTest, BytesThatAreMissingOrTooManyAreDamage) {
  const Buffer stored = EncodeStoredMessage(FullDraft());
  for (size_t size = 0; size < stored.size(); ++size) {
    EXPECT_THAT(DecodeStoredMessage(stored.view().substr(0, size)), StatusIs(StatusCode::kDataLoss)) << size;
  }
  EXPECT_THAT(DecodeStoredMessage(absl::StrCat(stored.view(), "x")), StatusIs(StatusCode::kDataLoss));
}

TEST(StoredMessageTest, AnotherVersionIsRefused) {
  std::string bytes(EncodeStoredMessage(SmallDraft()).view());
  bytes[0] = 2;
  EXPECT_THAT(DecodeStoredMessage(bytes), StatusIs(StatusCode::kDataLoss, HasSubstr("version 2")));
}

TEST(StoredMessageTest, ABodyFieldThatIsNotTheBodysIsDamage) {
  const Buffer stored = EncodeStoredMessage(SmallDraft());
  const size_t head = stored.size() - 3 - 2;  // "abc" behind one byte of tag and one of length.
  for (const size_t place : {head, head + 1}) {
    std::string bytes(stored.view());
    bytes[place] ^= 1;
    EXPECT_THAT(DecodeStoredMessage(bytes), StatusIs(StatusCode::kDataLoss, HasSubstr("body"))) << place;
  }
  std::string longer(stored.view());
  StoreFixed<uint32_t>(longer.data() + 20, 2);  // The header's idea of the body's size.
  EXPECT_THAT(DecodeStoredMessage(longer), StatusIs(StatusCode::kDataLoss, HasSubstr("body")));
}

TEST(StoredMessageTest, NoFlippedBitCrashesAReader) {
  for (const MessageDraft& draft : {SmallDraft(), FullDraft()}) {
    const Buffer stored = EncodeStoredMessage(draft);
    for (size_t bit = 0; bit < 8 * stored.size(); ++bit) {
      std::string bytes(stored.view());
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      ReadAll(bytes);
    }
  }
}

TEST(StoredMessageTest, NoRandomDamageCrashesAReader) {
  const uint64_t first_seed = RealRandom()->Next();
  for (uint64_t seed = first_seed; seed < first_seed + 5000; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    SeededRandom random(seed);
    std::string bytes(EncodeStoredMessage(RandomDraft(seed).draft()).view());
    for (uint64_t i = 1 + random.Below(4); i > 0; --i)
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    ReadAll(bytes);
  }
}

}  // namespace
}  // namespace barid
