// SPDX-License-Identifier: Apache-2.0
// What libbpf and the verifier say, kept instead of printed.
#pragma once

#include <string>
#include <string_view>

namespace bpftune::probes {

// Collects libbpf's messages while it lives; one at a time. Without one, libbpf is silent.
class LibbpfLog {
public:
    LibbpfLog();
    ~LibbpfLog();
    LibbpfLog(const LibbpfLog&) = delete;
    LibbpfLog& operator=(const LibbpfLog&) = delete;

    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::string text_;
};

// One line on why an object was refused: what the kernel lacks, else the verifier's last word, else `code` (errno).
std::string refusal(std::string_view log, int code);

} // namespace bpftune::probes
