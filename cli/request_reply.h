#ifndef BARID_CLI_REQUEST_REPLY_H_
#define BARID_CLI_REQUEST_REPLY_H_

// How a request says where its answer goes, and an answer which request it belongs to: properties of ordinary messages
// (docs/request-reply.md). RocketMQ's own names for them (CORRELATION_ID, REPLY_TO_CLIENT, TTL) are reserved, and
// refused as properties of users.
namespace barid::cli {

// Of the request, and the same again of the answer.
inline constexpr char kCorrelationId[] = "correlation_id";
// Of the request: the answer's topic, and its tag there, by which the requester knows its own.
inline constexpr char kReplyTopic[] = "reply_topic";
inline constexpr char kReplyTag[] = "reply_tag";
// Of the request: for so many milliseconds after its born time somebody waits for the answer.
inline constexpr char kReplyTtl[] = "reply_ttl_ms";
// Of an answer: it could not be given, and why.
inline constexpr char kReplyError[] = "reply_error";

}  // namespace barid::cli

#endif  // BARID_CLI_REQUEST_REPLY_H_
