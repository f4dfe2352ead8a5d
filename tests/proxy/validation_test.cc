#include "proxy/validation.h"

#include <functional>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/refusal.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MessageDraft GoodDraft() {
  MessageDraft draft;
  draft.message_id = "01ABC";
  draft.body = "x";
  return draft;
}

TopicMetadata GoodTopic() {
  TopicMetadata topic;
  topic.id = TopicId(1);
  topic.name = {"", "orders"};
  return topic;
}

// What is wrong, how it is refused, and the words that say what was found and what was expected.
struct Case {
  const char* name;
  std::function<void(MessageDraft*, TopicMetadata*)> spoil;
  Reason reason;
  const char* found;
  const char* expected;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const std::string kLong(70'000, 'x');
const std::vector<std::pair<std::string, std::string>>& ManyProperties() {
  static const auto* const properties = [] {
    auto* list = new std::vector<std::pair<std::string, std::string>>();
    for (int i = 0; i < 129; ++i) list->emplace_back(absl::StrCat("p", i), "v");
    return list;
  }();
  return *properties;
}
const std::string kBig(4 * 1024 * 1024 + 1, 'b');

const Case kCases[] = {
    {"NoId", [](auto* d, auto*) { d->message_id = ""; }, Reason::kIllegalMessageId, "message id is blank", "1 to 255"},
    {"BlankId", [](auto* d, auto*) { d->message_id = "  "; }, Reason::kIllegalMessageId, "message id is blank",
     "1 to 255"},
    {"LongId", [](auto* d, auto*) { d->message_id = absl::string_view(kLong).substr(0, 256); },
     Reason::kIllegalMessageId, "has 256 bytes", "at most 255"},
    {"BlankTag", [](auto* d, auto*) { d->tag = " "; }, Reason::kIllegalMessageTag, "tag is blank",
     "expected a visible one"},
    {"TagWithBar", [](auto* d, auto*) { d->tag = "a|b"; }, Reason::kIllegalMessageTag, "\"a|b\"", "neither \"|\""},
    {"TagWithControl", [](auto* d, auto*) { d->tag = "a\tb"; }, Reason::kIllegalMessageTag, "a\\tb",
     "nor control characters"},
    {"TagWithC1Control", [](auto* d, auto*) { d->tag = "a\xc2\x85"; }, Reason::kIllegalMessageTag, "its tag is",
     "nor control"},
    {"BlankKey",
     [](auto* d, auto*) {
       d->keys = {"ok", ""};
     },
     Reason::kIllegalMessageKey, "keys is blank", "a visible one"},
    {"KeyWithControl", [](auto* d, auto*) { d->keys = {"a\nb"}; }, Reason::kIllegalMessageKey, "a\\nb",
     "expected none"},
    {"BlankGroup", [](auto* d, auto*) { d->message_group = ""; }, Reason::kIllegalMessageGroup, "is blank",
     "a visible one"},
    {"LongGroup", [](auto* d, auto*) { d->message_group = absl::string_view(kLong).substr(0, 64); },
     Reason::kIllegalMessageGroup, "has 64 bytes", "at most 63"},
    {"GroupWithControl", [](auto* d, auto*) { d->message_group = "a\x7f"; }, Reason::kIllegalMessageGroup, "a\\x7f",
     "expected none"},
    {"BlankPropertyName",
     [](auto* d, auto*) {
       d->properties = {{"", "v"}};
     },
     Reason::kIllegalMessagePropertyKey, "blank name", "a visible one"},
    {"ReservedProperty",
     [](auto* d, auto*) {
       d->properties = {{"UNIQ_KEY", "v"}};
     },
     Reason::kIllegalMessagePropertyKey, "\"UNIQ_KEY\" is reserved", "choose another"},
    {"ReservedTimer",
     [](auto* d, auto*) {
       d->properties = {{"TIMER_DELAY_MS", "v"}};
     },
     Reason::kIllegalMessagePropertyKey, "\"TIMER_DELAY_MS\" is reserved", "choose another"},
    {"ReservedPrefix",
     [](auto* d, auto*) {
       d->properties = {{"__RMQ.TRANSIENT.x", "v"}};
     },
     Reason::kIllegalMessagePropertyKey, "is reserved", "choose another"},
    {"ControlInName",
     [](auto* d, auto*) {
       d->properties = {{"a\x01", "v"}};
     },
     Reason::kIllegalMessagePropertyKey, "control character", "expected none"},
    {"ControlInValue",
     [](auto* d, auto*) {
       d->properties = {{"a", "v\r"}};
     },
     Reason::kIllegalMessagePropertyKey, "control character", "expected none"},
    {"ManyProperties",
     [](auto* d, auto*) {
       for (const auto& [name, value] : ManyProperties()) d->properties.emplace_back(name, value);
     },
     Reason::kMessagePropertiesTooLarge, "129 properties", "at most 128"},
    {"LargeProperties",
     [](auto* d, auto*) {
       d->properties = {{"a", absl::string_view(kLong).substr(0, 16 * 1024)}};
     },
     Reason::kMessagePropertiesTooLarge, "16385 bytes", "at most 16384"},
    {"KeysCountToo",
     [](auto* d, auto*) {
       d->properties = {{"a", absl::string_view(kLong).substr(0, 16 * 1024 - 2)}};
       d->keys = {"k1"};
     },
     Reason::kMessagePropertiesTooLarge, "16385 bytes", "at most 16384"},
    {"TagCountsToo",
     [](auto* d, auto*) {
       d->properties = {{"a", absl::string_view(kLong).substr(0, 16 * 1024 - 2)}};
       d->tag = "tt";
     },
     Reason::kMessagePropertiesTooLarge, "16385 bytes", "at most 16384"},
    {"EmptyBody", [](auto* d, auto*) { d->body = ""; }, Reason::kMessageBodyEmpty, "body is empty",
     "at least one byte"},
    {"LargeBody", [](auto* d, auto*) { d->body = kBig; }, Reason::kMessageBodyTooLarge, "4194305 bytes",
     "at most 4194304"},
    {"LargeForItsTopic",
     [](auto* d, auto* t) {
       t->max_message_bytes = 3;
       d->body = "four";
     },
     Reason::kMessageBodyTooLarge, "4 bytes", "at most 3"},
    {"LargeForTheProxy",
     [](auto* d, auto* t) {
       static const std::string huge((16 << 20) + 1, 'h');
       t->max_message_bytes = int64_t{1} << 40;
       d->body = huge;
     },
     Reason::kMessageBodyTooLarge, "16777217 bytes", "at most 16777216"},
    {"FifoToNormal", [](auto* d, auto*) { d->type = MessageType::kFifo; }, Reason::kMessagePropertyConflictWithType,
     "its type is FIFO", "takes NORMAL"},
    {"NormalToFifo", [](auto*, auto* t) { t->type = MessageType::kFifo; }, Reason::kMessagePropertyConflictWithType,
     "its type is NORMAL", "takes FIFO"},
    {"FifoWithoutGroup",
     [](auto* d, auto* t) {
       t->type = MessageType::kFifo;
       d->type = MessageType::kFifo;
     },
     Reason::kIllegalMessageGroup, "its type is FIFO", "has no message group, expected one"},
    {"FifoWithTime",
     [](auto* d, auto* t) {
       t->type = MessageType::kFifo;
       d->type = MessageType::kFifo;
       d->message_group = "g";
       d->delivery_time = absl::UnixEpoch();
     },
     Reason::kMessagePropertyConflictWithType, "has a delivery time", "expected none in a FIFO message"},
    {"LiteWithoutLiteTopic",
     [](auto* d, auto* t) {
       t->type = MessageType::kLite;
       d->type = MessageType::kLite;
     },
     Reason::kIllegalLiteTopic, "its type is LITE", "has no lite topic, expected one"},
    {"LiteTopicTooLong",
     [](auto* d, auto* t) {
       static const std::string long_name(65, 'x');
       t->type = MessageType::kLite;
       d->type = MessageType::kLite;
       d->lite_topic = long_name;
     },
     Reason::kIllegalLiteTopic, "has 65 bytes", "expected 1 to 64"},
    {"LiteWithDelay",
     [](auto* d, auto* t) {
       t->type = MessageType::kLite;
       d->type = MessageType::kLite;
       d->lite_topic = "s";
       d->delivery_time = absl::UnixEpoch();
     },
     Reason::kMessagePropertyConflictWithType, "has a delivery time", "expected none in a LITE message"},
    {"PriorityWithoutPriority",
     [](auto* d, auto* t) {
       t->type = MessageType::kPriority;
       d->type = MessageType::kPriority;
     },
     Reason::kMessagePropertyConflictWithType, "has no priority", "expected one"},
    {"NegativePriority",
     [](auto* d, auto* t) {
       t->type = MessageType::kPriority;
       d->type = MessageType::kPriority;
       d->priority = -1;
     },
     Reason::kBadRequest, "priority is -1", "0 (the lowest) to 15"},
    {"PriorityWithGroup",
     [](auto* d, auto* t) {
       t->type = MessageType::kPriority;
       d->type = MessageType::kPriority;
       d->priority = 3;
       d->message_group = "g";
     },
     Reason::kMessagePropertyConflictWithType, "has a message group", "expected none in a PRIORITY message"},
    {"DelayToNormal",
     [](auto* d, auto*) {
       d->type = MessageType::kDelay;
       d->delivery_time = absl::UnixEpoch();
     },
     Reason::kMessagePropertyConflictWithType, "its type is DELAY", "takes NORMAL"},
    {"DelayWithoutTime",
     [](auto* d, auto* t) {
       t->type = MessageType::kDelay;
       d->type = MessageType::kDelay;
     },
     Reason::kMessagePropertyConflictWithType, "has no delivery time", "expected one"},
    {"DelayWithGroup",
     [](auto* d, auto* t) {
       t->type = MessageType::kDelay;
       d->type = MessageType::kDelay;
       d->delivery_time = absl::UnixEpoch();
       d->message_group = "g";
     },
     Reason::kMessagePropertyConflictWithType, "has a message group", "expected none in a DELAY message"},
    {"NormalWithGroup", [](auto* d, auto*) { d->message_group = "g"; }, Reason::kMessagePropertyConflictWithType,
     "has a message group", "expected none"},
    {"NormalWithDelay", [](auto* d, auto*) { d->delivery_time = absl::UnixEpoch(); },
     Reason::kMessagePropertyConflictWithType, "has a delivery time", "expected none"},
    {"NormalWithPriority", [](auto* d, auto*) { d->priority = 1; }, Reason::kMessagePropertyConflictWithType,
     "has a priority", "expected none"},
    {"NormalWithLiteTopic", [](auto* d, auto*) { d->lite_topic = "l"; }, Reason::kMessagePropertyConflictWithType,
     "has a lite topic", "expected none"},
    {"DeadLetterTopic", [](auto*, auto* t) { t->id = DeadLetterTopicId(GroupId(1)); }, Reason::kForbidden,
     "is a dead-letter topic", "only the server adds to it"},
};

class MessageValidationTest : public ::testing::TestWithParam<Case> {};

TEST_P(MessageValidationTest, IsRefusedWithItsCodeAndASentence) {
  const Case& c = GetParam();
  MessageDraft draft = GoodDraft();
  TopicMetadata topic = GoodTopic();
  c.spoil(&draft, &topic);
  absl::Status status = CheckMessage(draft, 5, ProxyLimits());
  if (status.ok()) status = CheckMessageAgainstTopic(draft, 5, topic, ProxyOptions());
  EXPECT_EQ(GetReason(status), c.reason) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(c.found));
  EXPECT_THAT(std::string(status.message()), HasSubstr(c.expected));
  if (c.reason != Reason::kForbidden) {
    EXPECT_THAT(std::string(status.message()), HasSubstr("message 5: "));
  }
}

INSTANTIATE_TEST_SUITE_P(All, MessageValidationTest, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ValidationTest, WhatIsJustAllowedIsAllowed) {
  MessageDraft draft = GoodDraft();
  draft.message_id = absl::string_view(kLong).substr(0, 255);
  draft.tag = "büro tag";
  draft.keys = {"k 1", "k2"};
  for (int i = 0; i < 128; ++i) draft.properties.emplace_back(ManyProperties()[i].first, "v");
  draft.body = absl::string_view(kBig).substr(1);
  EXPECT_TRUE(CheckMessage(draft, 0, ProxyLimits()).ok());
  EXPECT_TRUE(CheckMessageAgainstTopic(draft, 0, GoodTopic(), ProxyOptions()).ok());
  draft.message_group = absl::string_view(kLong).substr(0, 63);
  EXPECT_TRUE(CheckMessage(draft, 0, ProxyLimits()).ok());
}

// Rows are messages, columns topics, both in the order NORMAL FIFO DELAY TRANSACTION LITE PRIORITY. `*`: taken; `+`:
// taken where types are not enforced; `-`: never.
constexpr const char* kTaken[] = {
    "*+++-+",  // NORMAL
    "+*++-+",  // FIFO
    "++*+-+",  // DELAY
    "---*--",  // TRANSACTION
    "----*-",  // LITE
    "++++-*",  // PRIORITY
};

TEST(ValidationTest, ATopicTakesItsOwnTypeAndOthersWhereTypesAreNotEnforced) {
  const MessageType types[] = {MessageType::kNormal,      MessageType::kFifo, MessageType::kDelay,
                               MessageType::kTransaction, MessageType::kLite, MessageType::kPriority};
  for (size_t message = 0; message < 6; ++message) {
    for (size_t place = 0; place < 6; ++place) {
      MessageDraft draft = GoodDraft();
      draft.type = types[message];
      if (draft.type == MessageType::kFifo) draft.message_group = "g";
      if (draft.type == MessageType::kDelay) draft.delivery_time = absl::UnixEpoch();
      if (draft.type == MessageType::kPriority) draft.priority = 99;
      if (draft.type == MessageType::kLite) draft.lite_topic = "l";
      TopicMetadata topic = GoodTopic();
      topic.type = types[place];
      for (const bool enforce : {true, false}) {
        ProxyOptions options;
        options.enforce_message_types = enforce;
        const absl::Status status = CheckMessageAgainstTopic(draft, 0, topic, options);
        const char mark = kTaken[message][place];
        EXPECT_EQ(status.ok(), mark == '*' || (mark == '+' && !enforce))
            << MessageTypeName(draft.type) << " to " << MessageTypeName(topic.type) << ", enforced " << enforce << ": "
            << status;
        if (!status.ok()) {
          EXPECT_EQ(GetReason(status), Reason::kMessagePropertyConflictWithType) << status;
        }
      }
    }
  }
}

TEST(ValidationTest, ADeliveryTimeIsAtMostSoFarAhead) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  MessageDraft draft = GoodDraft();
  EXPECT_TRUE(CheckDeliveryTime(draft, 5, now, absl::Hours(1)).ok());
  for (const absl::Time good : {absl::InfinitePast(), absl::UnixEpoch(), now, now + absl::Hours(1)}) {
    draft.delivery_time = good;
    EXPECT_TRUE(CheckDeliveryTime(draft, 5, now, absl::Hours(1)).ok()) << good;
  }
  for (const absl::Time bad : {now + absl::Hours(1) + absl::Microseconds(1), absl::InfiniteFuture()}) {
    draft.delivery_time = bad;
    EXPECT_EQ(GetReason(CheckDeliveryTime(draft, 5, now, absl::Hours(1))), Reason::kIllegalDeliveryTime) << bad;
  }
}

TEST(ValidationTest, NamesHaveLengthsAndAnAlphabet) {
  EXPECT_TRUE(CheckTopic({"", "%DLQ%a|b-C_9"}).ok());
  EXPECT_TRUE(CheckTopic({"space", std::string(127, 'x')}).ok());
  for (const std::string& bad :
       {std::string(), std::string(128, 'x'), std::string("a b"), std::string("a.b"), std::string("a\n")}) {
    EXPECT_EQ(GetReason(CheckTopic({"", bad})), Reason::kIllegalTopic) << bad;
  }
  EXPECT_EQ(GetReason(CheckTopic({"a b", "x"})), Reason::kIllegalTopic);
  EXPECT_TRUE(CheckGroup({"", std::string(120, 'x')}).ok());
  for (const std::string& bad : {std::string(), std::string(121, 'x'), std::string("é")}) {
    EXPECT_EQ(GetReason(CheckGroup({"", bad})), Reason::kIllegalConsumerGroup) << bad;
  }
  EXPECT_EQ(GetReason(CheckGroup({std::string(200, 'n'), "x"})), Reason::kIllegalConsumerGroup);
}

TEST(ValidationTest, TagExpressionsListTags) {
  EXPECT_THAT(*ParseTagExpression("*", 8), IsEmpty());
  EXPECT_THAT(*ParseTagExpression("", 8), IsEmpty());
  EXPECT_THAT(*ParseTagExpression(" a||b  || a", 8), ElementsAre("a", "b"));
  EXPECT_THAT(*ParseTagExpression("a || *", 8), IsEmpty());
  for (const char* bad : {"||", "a||", "a|b", "a || || b", "a\tb"}) {
    EXPECT_EQ(GetReason(ParseTagExpression(bad, 8).status()), Reason::kIllegalFilterExpression) << bad;
  }
  EXPECT_EQ(GetReason(ParseTagExpression("a||b||c", 2).status()), Reason::kIllegalFilterExpression);
}

TEST(ValidationTest, InvisibleTimesHaveBounds) {
  const ProxyOptions options;
  EXPECT_TRUE(CheckReceiveInvisible(absl::Seconds(10), options).ok());
  EXPECT_TRUE(CheckReceiveInvisible(absl::Hours(12), options).ok());
  for (const absl::Duration bad :
       {absl::ZeroDuration(), absl::Seconds(9.999), absl::Hours(12) + absl::Nanoseconds(1), -absl::Hours(1)}) {
    EXPECT_EQ(GetReason(CheckReceiveInvisible(bad, options)), Reason::kIllegalInvisibleTime) << bad;
  }
  EXPECT_TRUE(CheckChangedInvisible(absl::ZeroDuration(), options).ok());
  EXPECT_TRUE(CheckChangedInvisible(absl::Hours(12), options).ok());
  EXPECT_EQ(GetReason(CheckChangedInvisible(-absl::Nanoseconds(1), options)), Reason::kIllegalInvisibleTime);
  EXPECT_EQ(GetReason(CheckChangedInvisible(absl::Hours(13), options)), Reason::kIllegalInvisibleTime);
}

TEST(ValidationTest, APollEndsBeforeItsDeadline) {
  const ProxyOptions options;
  const absl::Duration not_said = absl::Seconds(-1);
  const absl::Duration forever = absl::InfiniteDuration();
  EXPECT_EQ(PollTime(absl::Seconds(5), forever, options), absl::Seconds(5));
  EXPECT_EQ(PollTime(absl::Seconds(40), absl::Seconds(40), options), absl::Seconds(20));
  EXPECT_EQ(PollTime(absl::Seconds(15), absl::Seconds(15), options), absl::Seconds(14.5));
  EXPECT_EQ(PollTime(absl::ZeroDuration(), forever, options), absl::ZeroDuration());
  EXPECT_EQ(PollTime(not_said, absl::Seconds(8), options), absl::Seconds(7.5));
  EXPECT_EQ(PollTime(not_said, forever, options), absl::Seconds(20));
  EXPECT_EQ(PollTime(absl::Seconds(5), absl::Milliseconds(100), options), absl::ZeroDuration());
  EXPECT_EQ(PollTime(absl::Seconds(5), -absl::Seconds(1), options), absl::ZeroDuration());
}

}  // namespace
}  // namespace barid::proxy
