#include "cli/table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "base/log.h"

namespace barid::cli {
namespace {

// Characters on a terminal, for text in UTF-8: continuation bytes do not count.
size_t Width(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

bool IsNumber(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '.' || c == '-';
  });
}

}  // namespace

void Table::AddRow(std::vector<std::string> cells) {
  const size_t columns = !headings_.empty() ? headings_.size() : rows_.empty() ? cells.size() : rows_[0].size();
  CHECK_EQ(cells.size(), columns);
  for (std::string& cell : cells) {
    if (cell.empty()) cell = "-";
  }
  rows_.push_back(std::move(cells));
}

void Table::Print(std::ostream& out) const {
  const size_t columns = !headings_.empty() ? headings_.size() : rows_.empty() ? 0 : rows_[0].size();
  std::vector<size_t> widths(columns, 0);
  std::vector<bool> right(columns, !rows_.empty());
  for (size_t i = 0; i < headings_.size(); ++i) widths[i] = Width(headings_[i]);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < columns; ++i) {
      widths[i] = std::max(widths[i], Width(row[i]));
      right[i] = right[i] && IsNumber(row[i]);
    }
  }
  const auto print = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < columns; ++i) {
      const std::string padding(widths[i] - Width(row[i]), ' ');
      if (i > 0) line += "  ";
      line += right[i] ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << "\n";
  };
  if (!headings_.empty()) print(headings_);
  for (const auto& row : rows_) print(row);
}

}  // namespace barid::cli
