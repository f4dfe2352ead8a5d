#include "proxy/fingerprint.h"

#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace barid::proxy {
namespace {

constexpr TopicId kTopic{7};
constexpr Producer kProducer{"client-1", "host-1"};

MessageDraft Draft() {
  MessageDraft draft;
  draft.type = MessageType::kDelay;
  draft.message_id = "01ABC";
  draft.tag = "red";
  draft.keys = {"k1", "k2"};
  draft.message_group = "g";
  draft.lite_topic = "l";
  draft.priority = 3;
  draft.properties = {{"a", "1"}, {"b", "2"}};
  draft.body = "body";
  draft.delivery_time = absl::FromUnixSeconds(1'800'000'000);
  draft.born_time = absl::FromUnixSeconds(1'700'000'000);
  return draft;
}

TEST(FingerprintTest, ChangesWithAllThatHasToBeEqual) {
  const std::function<void(MessageDraft*)> changes[] = {
      [](auto* d) { d->type = MessageType::kNormal; },
      [](auto* d) { d->tag = "blue"; },
      [](auto* d) { d->tag.reset(); },
      [](auto* d) { d->tag = ""; },
      [](auto* d) {
        d->keys = {"k2", "k1"};
      },
      [](auto* d) { d->keys = {"k1"}; },
      [](auto* d) { d->keys = {"k1k2"}; },
      [](auto* d) { d->message_group = "h"; },
      [](auto* d) { d->message_group.reset(); },
      [](auto* d) { d->lite_topic = "m"; },
      [](auto* d) { d->lite_topic.reset(); },
      [](auto* d) { d->priority = 4; },
      [](auto* d) { d->priority.reset(); },
      [](auto* d) {
        d->properties = {{"a", "1"}};
      },
      [](auto* d) {
        d->properties = {{"a", "2"}, {"b", "1"}};
      },
      [](auto* d) {
        d->properties = {{"a1", ""}, {"b", "2"}};
      },
      [](auto* d) { d->body = "bodi"; },
      [](auto* d) { d->delivery_time.reset(); },
      [](auto* d) { *d->delivery_time += absl::Microseconds(1); },
  };
  const Fingerprint original = FingerprintOf(Draft(), kTopic, kProducer);
  std::set<uint64_t> contents = {original.content};
  for (const auto& change : changes) {
    MessageDraft draft = Draft();
    change(&draft);
    const Fingerprint changed = FingerprintOf(draft, kTopic, kProducer);
    EXPECT_EQ(changed.id, original.id);
    EXPECT_TRUE(contents.insert(changed.content).second) << "change " << contents.size() - 1;
  }
  for (const Producer& other :
       {Producer{"client-2", "host-1"}, Producer{"client-1", "host-2"}, Producer{"host-1", "client-1"}}) {
    const Fingerprint changed = FingerprintOf(Draft(), kTopic, other);
    EXPECT_EQ(changed.id, original.id);
    EXPECT_TRUE(contents.insert(changed.content).second);
  }
}

TEST(FingerprintTest, StaysForTheRest) {
  const Fingerprint original = FingerprintOf(Draft(), kTopic, kProducer);
  MessageDraft draft = Draft();
  draft.born_time += absl::Seconds(1);
  draft.born_host = "10.0.0.1:4711";
  draft.trace_context = "00-trace";
  draft.properties = {{"b", "2"}, {"a", "1"}};  // A map has no order.
  EXPECT_EQ(FingerprintOf(draft, kTopic, kProducer), original);
}

TEST(FingerprintTest, IsAnotherOneInAnotherTopicAndForAnotherId) {
  const Fingerprint original = FingerprintOf(Draft(), kTopic, kProducer);
  EXPECT_NE(FingerprintOf(Draft(), TopicId(8), kProducer).id, original.id);
  MessageDraft draft = Draft();
  draft.message_id = "01ABD";
  EXPECT_NE(FingerprintOf(draft, kTopic, kProducer).id, original.id);
  EXPECT_NE(FingerprintOf(draft, kTopic, kProducer).content, original.content);
}

}  // namespace
}  // namespace barid::proxy
