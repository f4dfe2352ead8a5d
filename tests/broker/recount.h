#ifndef BARID_TESTS_BROKER_RECOUNT_H_
#define BARID_TESTS_BROKER_RECOUNT_H_

#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "broker/state.h"

namespace barid::broker {

// What of a state's counts is not what its cursors and queues have; empty: all agree. Looks at every cursor.
inline std::string WrongCounts(const State& state) {
  std::map<GroupTopic, GroupFigures> expected;
  for (const auto& [key, cursor] : state.cursors()) {
    GroupFigures& figures = expected[{key.group, key.queue.topic}];
    const QueueOffset end = state.FindQueue(key.queue)->end;
    figures.ready += end - cursor.next - state.counts().EmptyIn(key.queue, cursor.next, end);
    std::set<uint64_t> locked;
    for (const auto& [offset, delivery] : cursor.in_flight) {
      if (delivery.visible) continue;
      ++figures.in_flight;
      locked.insert(delivery.message_group);
    }
    locked.erase(0);
    for (const auto& [offset, delivery] : cursor.in_flight) {
      if (delivery.visible) ++(locked.contains(delivery.message_group) ? figures.blocked : figures.ready);
    }
    for (const auto& [offset, message_group] : cursor.parked)
      ++(locked.contains(message_group) ? figures.blocked : figures.ready);
  }
  for (const auto& [key, counts] : state.counts().groups()) {
    const GroupFigures& is = counts->figures();
    const GroupFigures& should = expected[key];
    if (is == should) continue;
    return absl::StrCat("group ", key.group.value(), " counts ", is.ready, " ready, ", is.in_flight, " in flight, ",
                        is.blocked, " blocked in topic ", key.topic.value(), "; there are ", should.ready, ", ",
                        should.in_flight, " and ", should.blocked);
  }
  if (expected.size() != state.counts().groups().size()) return "a group that reads is not counted";
  std::map<TopicId, int64_t> delayed;
  for (const auto& [key, queue] : state.queues()) {
    if (queue.delayed != 0) delayed[key.topic] += queue.delayed;
  }
  if (delayed != std::map<TopicId, int64_t>(state.counts().delayed().begin(), state.counts().delayed().end())) {
    return "timers are counted otherwise by topic than by queue";
  }
  return "";
}

}  // namespace barid::broker

#endif  // BARID_TESTS_BROKER_RECOUNT_H_
