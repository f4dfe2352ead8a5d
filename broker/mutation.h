#ifndef BARID_BROKER_MUTATION_H_
#define BARID_BROKER_MUTATION_H_

// Bugs on purpose. A checker that catches nothing is worth nothing, so the shard simulation is run against builds of
// this folder in which one of these is switched on, and must catch each (tests/simulation). In every other build
// BARID_MUTATION(x) is the constant false.
namespace barid::broker {

#define BARID_MUTATIONS_LIST(X)                                                                                   \
  X(kAnswerBeforeCommit)         /* a send is answered when proposed */                                           \
  X(kSkipSync)                   /* records count as durable without fdatasync */                                 \
  X(kIgnoreSyncFailure)          /* a failed sync is taken for a good one */                                      \
  X(kAppendOffsetOffByOne)       /* entries of one record share an offset */                                      \
  X(kAppendForgetsLastEntry)     /* the last entry of a record of several makes no entry */                       \
  X(kAppendToDeletedQueue)       /* a deleted queue takes messages */                                             \
  X(kDeliverForgetsAttempt)      /* redelivery does not count the attempt */                                      \
  X(kDeliverIgnoresInvisible)    /* what another member holds is delivered too */                                 \
  X(kDeliverSettlesFirst)        /* the first message of a delivery is taken for settled */                       \
  X(kDeliverSkipsOne)            /* the scan position moves one too far */                                        \
  X(kOpenCursorLate)             /* a group starts one message late */                                            \
  X(kSkipOneMore)                /* Skip settles one message more */                                              \
  X(kSettleIgnoresNonce)         /* an old receipt settles a newer delivery */                                    \
  X(kSettleAckLost)              /* an acknowledgement is answered and not applied */                             \
  X(kSettleAckNeighbour)         /* an acknowledgement also settles the next message in flight */                 \
  X(kShowAtForgotten)            /* a returned message never becomes visible */                                   \
  X(kSuspendCounts)              /* what a member put off without trying it counts as an attempt */               \
  X(kUndeliveredCounts)          /* an answer that did not leave counts as an attempt */                          \
  X(kMakeVisibleForgotten)       /* a lapse is not noticed */                                                     \
  X(kMakeVisibleSettles)         /* a lapse settles */                                                            \
  X(kMakeVisibleEarly)           /* a lapse applies to a deadline that was moved */                               \
  X(kFilterDeliversAll)          /* what an SQL filter leaves out is delivered */                                 \
  X(kFilterLosesMatches)         /* what matches an SQL filter is passed over */                                  \
  X(kHoldForever)                /* a held delivery has no cap */                                                 \
  X(kHoldForgotten)              /* nothing is ever held */                                                       \
  X(kHoldAgainAndAgain)          /* each sign of life of a client is written down */                              \
  X(kGoneTooEarly)               /* a client is gone after a quarter of the time */                               \
  X(kNoTimeAfterLead)            /* a new leader takes for gone of whom it has not heard yet */                   \
  X(kClientGoneForgotten)        /* a dead client keeps what it holds */                                          \
  X(kMoveLosesMessage)           /* a dead letter is removed here and not added there */                          \
  X(kMoveKeepsMessage)           /* a dead letter is added there and not removed here */                          \
  X(kRedriveLosesMessage)        /* a dead letter that goes back is removed there and not added here */           \
  X(kRedriveKeepsMessage)        /* a dead letter that goes back stays there too */                               \
  X(kExpireOneMore)              /* retention takes one message too many */                                       \
  X(kExpireKeepsDeliveries)      /* deliveries of expired messages stay */                                        \
  X(kTrimIgnoresLive)            /* space is freed below a live entry */                                          \
  X(kCloseGroupForgotten)        /* a deleted group keeps its cursors */                                          \
  X(kCloseSubscriptionForgotten) /* a group that was unsubscribed keeps its cursors */                            \
  X(kScheduleAtOnce)             /* a scheduled message enters its queue when it is sent */                       \
  X(kScheduleForgotten)          /* a scheduled message makes no timer */                                         \
  X(kScheduleLosesWhatIsDue)     /* a scheduled message that is due already makes no entry */                     \
  X(kScheduleOffsetOff)          /* scheduled messages of one record share an offset */                           \
  X(kTimerHoldsNoLog)            /* a timer does not keep the log that has its message */                         \
  X(kFireEarly)                  /* a timer fires two seconds early */                                            \
  X(kFireForgotten)              /* the leader fires nothing */                                                   \
  X(kFireLosesMessage)           /* a timer goes and its message does not enter the queue */                      \
  X(kFireKeepsTimer)             /* a message enters its queue and its timer stays */                             \
  X(kCancelForgotten)            /* a recall is answered and not applied */                                       \
  X(kCancelOfTheGone)            /* a recall of what was delivered is taken */                                    \
  X(kTimersOfTheDeletedStay)     /* a deleted queue keeps its timers */                                           \
  X(kTimerHorizonTooFar)         /* far timers that were not brought in count as near */                          \
  X(kTimersLeaveUnwritten)       /* far timers leave memory before a checkpoint has them */                       \
  X(kUnlockForgotten)            /* what is parked is not offered when its message group is unlocked */           \
  X(kUnlockTooEarly)             /* one delivery of several that becomes visible unlocks its message group */     \
  X(kParkedIsSettled)            /* what the scan passes over because of a lock is taken for settled */           \
  X(kRunFromTheSecond)           /* redelivery of a message group starts at its second message */                 \
  X(kRunIgnoresWaiting)          /* a new message overtakes parked ones of its message group */                   \
  X(kRunIgnoresLock)             /* what follows a message that somebody holds is delivered */                    \
  X(kRedeliverOfOthers)          /* an attempt id gives what another receive was given */                         \
  X(kRedeliverCounts)            /* a repeated attempt counts */                                                  \
  X(kMoveKeepsLock)              /* a dead letter still locks its message group */                                \
  X(kCheckpointForgetsParked)    /* messages parked since the last checkpoint are not written */                  \
  X(kCheckpointForgetsOrder)     /* an ordered cursor is not ordered after a restart */                           \
  X(kCheckpointForgetsTimers)                                                                                     \
  X(kCheckpointKeepsGoneTimers)    /* timers that fired or were recalled stay in the store */                     \
  X(kPrepareVisible)               /* a prepared message is in its queue at once */                               \
  X(kPrepareForgotten)             /* a prepared message opens no transaction */                                  \
  X(kPrepareHoldsNoLog)            /* an open transaction does not keep the log that has its message */           \
  X(kCommitLosesMessage)           /* a transaction is committed and its message does not enter the queue */      \
  X(kCommitTwice)                  /* a committed transaction stays open */                                       \
  X(kRollBackCommits)              /* a message that is rolled back enters its queue */                           \
  X(kDiscardLosesMessage)          /* what is discarded is nowhere */                                             \
  X(kEndAgainTaken)                /* a transaction that has ended may be ended otherwise */                      \
  X(kOutcomeForgotten)             /* how a transaction ended is not remembered */                                \
  X(kCheckNotCounted)              /* checks are not counted */                                                   \
  X(kCheckNotDelayed)              /* a check does not put off the next */                                        \
  X(kChecksNotGivenOut)            /* no producer is ever asked */                                                \
  X(kDiscardForgotten)             /* what nobody ends stays open */                                              \
  X(kTransactionsOfTheDeletedStay) /* a deleted queue keeps its transactions */                                   \
  X(kCheckpointForgetsPrepared)    /* open transactions are not written */                                        \
  X(kCheckpointKeepsEnded)         /* ended transactions stay open in the store */                                \
  X(kRepeatIsStored)               /* a repeated send is a new message */                                         \
  X(kRepeatIgnoresContent)         /* an id alone makes a repeat */                                               \
  X(kRepeatAnswersAnew)            /* a repeat is answered as if it were stored again */                          \
  X(kWindowOneShort)               /* one send less is remembered */                                              \
  X(kWindowEndsEarly)              /* a send is remembered for half of the time */                                \
  X(kWindowNeverEnds)              /* a repeated send is none however late it comes */                            \
  X(kWindowSharesOffset)           /* of several messages in one record the first offset is remembered for all */ \
  X(kCheckpointForgetsSends)       /* which sends are remembered is not written */                                \
  X(kCheckpointForgetsOutcomes)    /* how transactions ended is not written */                                    \
  X(kCommitOffsetForgotten)        /* a stored offset is answered and not applied */                              \
  X(kCommitOffsetOnlyForwards)     /* an offset that goes back is not stored */                                   \
  X(kCheckpointForgetsOffsets)     /* stored offsets are not written */                                           \
  X(kSeekKeepsDeliveries)          /* a reset leaves what is in flight as it is */                                \
  X(kSeekOneTooFar)                /* a reset begins one message late */                                          \
  X(kSeekOnlyForwards)             /* a reset to an earlier message does nothing */                               \
  X(kSeekKeepsParked)              /* a reset leaves parked messages of an ordered group, and their locks */      \
  X(kLiteServesAll)                /* a client is given messages of lite topics that it does not read */          \
  X(kLiteUnsubscribeForgotten)     /* what a client stops to read is given to it once more */                     \
  X(kLiteHasNoOrder)               /* an ordered group is given a lite topic without order */                     \
  X(kLiteSecondQueue)              /* a lite topic that is there is made again */                                 \
  X(kCheckpointForgetsLite)        /* lite topics that were made or written to are not written */                 \
  X(kCarryForgetsTimers)           /* the log of a carried timer is let go, but it points there still */          \
  X(kCarryForgetsTransactions)     /* the same of a transaction */                                                \
  X(kCarryOffsetOff)               /* all messages of a Carry are taken for the first */                          \
  X(kCarryTooMany)                 /* the log is let go for what a Carry did not move, too */                     \
  X(kPauseIgnored)                 /* a paused group is given messages */                                         \
  X(kPriorityLowestFirst)          /* the lowest priority comes first */                                          \
  X(kPriorityNobodyIsOldest)       /* no receive begins with the oldest message */                                \
  X(kPriorityOldestTooOften)       /* every receive does */                                                       \
  X(kPriorityForgetsReturned)      /* what came back is not among the oldest */                                   \
  X(kCheckpointForgetsCursors)     /* cursors changed since the last checkpoint are not written */                \
  X(kCheckpointForgetsDeliveries)                                                                                 \
  X(kCheckpointForgetsHolds) /* nothing is held any more after a restart */                                       \
  X(kCheckpointForgetsBlocks)                                                                                     \
  X(kCheckpointIndexTooHigh)        /* the checkpoint claims one record more than it holds */                     \
  X(kCountForgetsWhatExpires)       /* what expires unread is still counted as ready */                           \
  X(kCountForgetsEmptyOffsets)      /* a dead letter that went back is still counted as ready */                  \
  X(kCountForgetsSettled)           /* settled messages of a second attempt are still counted as in flight */     \
  X(kCountForgetsLocks)             /* what waits behind a locked message group is not counted as blocked */      \
  X(kCountForgetsTimersThatGo)      /* a scheduled message that entered its queue is still counted as delayed */  \
  X(kCountForgetsDeadLettersThatGo) /* a dead letter that went back is still counted as one */                    \
  X(kReplaySkipsFirst)              /* the first record behind the checkpoint is not replayed */

enum class Mutation {
  kNone,
#define BARID_MUTATION_ENUM(name) name,
  BARID_MUTATIONS_LIST(BARID_MUTATION_ENUM)
#undef BARID_MUTATION_ENUM
};

#ifdef BARID_WITH_MUTATIONS
// The one bug that is switched on. Set between runs, from one thread.
inline Mutation active_mutation = Mutation::kNone;
#define BARID_MUTATION(name) (::barid::broker::active_mutation == ::barid::broker::Mutation::name)
#else
#define BARID_MUTATION(name) false
#endif

}  // namespace barid::broker

#endif  // BARID_BROKER_MUTATION_H_
