// Any bytes: a stored message is refused as damage, or all of it can be read, delivered, and written again with the
// same meaning.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/stored_message.h"
#include "tests/fuzz/fuzz.h"

namespace {

using barid::Buffer;
using barid::DecodeStoredMessage;
using barid::DeliveryFields;
using barid::EncodeStoredMessage;
using barid::MessageDraft;
using barid::StoredMessageView;

// What the view shows, as a producer would send it.
MessageDraft DraftOf(const StoredMessageView& view) {
  MessageDraft draft;
  draft.type = view.type;
  draft.message_id = view.message_id;
  draft.tag = view.tag;
  draft.message_group = view.message_group;
  draft.keys = view.keys;
  draft.born_time = view.born_time;
  draft.delivery_time = view.delivery_time;
  draft.priority = view.priority;
  draft.properties = view.Properties();
  draft.body = view.Body();
  return draft;
}

void CheckSame(const StoredMessageView& a, const StoredMessageView& b) {
  CHECK(a.type == b.type);
  CHECK_EQ(a.message_id, b.message_id);
  CHECK(a.tag == b.tag);
  CHECK(a.message_group == b.message_group);
  CHECK(a.keys == b.keys);
  CHECK_EQ(a.born_time, b.born_time);
  CHECK(a.delivery_time == b.delivery_time);
  CHECK_EQ(a.priority, b.priority);
  CHECK(a.Properties() == b.Properties());
  CHECK_EQ(a.Body(), b.Body());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Buffer stored(std::string(reinterpret_cast<const char*>(data), size));
  const absl::StatusOr<StoredMessageView> view = DecodeStoredMessage(stored.view());
  const absl::StatusOr<barid::Bytes> delivery = SpliceDelivery(stored, DeliveryFields());
  if (!view.ok()) {
    CHECK(absl::IsDataLoss(view.status()));
    CHECK(absl::IsDataLoss(delivery.status()));
    return 0;
  }
  CHECK_OK(delivery.status());
  CHECK_LE(view->Body().size(), delivery->size());

  const Buffer again = EncodeStoredMessage(DraftOf(*view));
  const absl::StatusOr<StoredMessageView> second = DecodeStoredMessage(again.view());
  CHECK_OK(second.status());
  CheckSame(*view, *second);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  MessageDraft small;
  small.message_id = "01";
  small.body = "b";
  MessageDraft full = small;
  full.type = barid::MessageType::kPriority;
  full.tag = "tag";
  full.message_group = "group";
  full.keys = {"k1", "k2"};
  full.properties = {{"p", "v"}, {"", ""}};
  full.delivery_time = absl::FromUnixSeconds(1);
  full.priority = 3;
  full.body = "a longer body than the other one, so that sizes differ in more than one byte";
  return {std::string(EncodeStoredMessage(small).view()), std::string(EncodeStoredMessage(full).view())};
}
