#ifndef BARID_CLI_TABLE_H_
#define BARID_CLI_TABLE_H_

#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace barid::cli {

// Rows under headings, in columns as wide as they need to be. Columns of numbers stand right.
//
//   TOPIC   TYPE    QUEUES
//   orders  normal       4
class Table {
 public:
  // Without headings if they are empty.
  explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}

  // Empty cells are shown as "-". All rows have as many cells as there are headings, or as the first row.
  void AddRow(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  void Print(std::ostream& out) const;

 private:
  std::vector<std::string> headings_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace barid::cli

#endif  // BARID_CLI_TABLE_H_
