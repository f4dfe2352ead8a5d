#ifndef BARID_BROKER_CURSOR_KEY_H_
#define BARID_BROKER_CURSOR_KEY_H_

#include <utility>

#include "base/ids.h"

namespace barid::broker {

// A group's place in one queue.
struct CursorKey {
  GroupId group;
  QueueKey queue;

  friend constexpr auto operator<=>(const CursorKey&, const CursorKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const CursorKey& key) {
    return H::combine(std::move(h), key.group, key.queue);
  }
};

}  // namespace barid::broker

#endif  // BARID_BROKER_CURSOR_KEY_H_
