#ifndef BARID_STORAGE_LEVELDB_JOURNAL_H_
#define BARID_STORAGE_LEVELDB_JOURNAL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"

// LevelDB keeps its newest batches, and the list of its tables, in journals: blocks of 32 KiB with records of
//
//   u32 masked CRC-32C of type and data | u16 length | u8 type (1 whole, 2 first, 3 middle, 4 last) | data
//
// After a power cut the end of a journal may be any mixture of old and new sectors. LevelDB can be told to accept that
// and then also accepts damage in the middle, or to refuse damage and then also refuses a torn end. So we look first: a
// torn end is cut off, everything else is damage, and LevelDB runs with paranoid checks.
namespace barid::storage {

// Where the whole records at the front of a journal end. What follows is torn: we sync each batch before the next, so
// the last one alone can be. kDataLoss if behind the first bad place stands the beginning of a later record.
absl::StatusOr<uint64_t> FindJournalEnd(absl::string_view content);

// Readies the LevelDB in `dir`, if there is one, for being opened: cuts torn ends off its journals, durably. kDataLoss
// if a journal is damaged or missing, or files of a database are there and CURRENT, which makes them one, is not.
absl::Status CutTornJournals(Env* env, absl::string_view dir);

}  // namespace barid::storage

#endif  // BARID_STORAGE_LEVELDB_JOURNAL_H_
