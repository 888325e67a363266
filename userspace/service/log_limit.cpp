// SPDX-License-Identifier: Apache-2.0
#include "service/log_limit.hpp"

#include <algorithm>
#include <memory>

#include <spdlog/sinks/sink.h>
#include <spdlog/spdlog.h>

#include "sys/clock.hpp"

namespace bpftune::service {
namespace {

std::string kind_of(std::string_view line) {
    constexpr std::size_t longest = 64;
    std::string kind(line.substr(0, std::min({line.find(':'), line.find('\n'), longest})));
    std::erase_if(kind, [](char c) { return c >= '0' && c <= '9'; });
    return kind;
}

class LimitedSink : public spdlog::sinks::sink {
public:
    explicit LimitedSink(spdlog::sink_ptr written_to) : sink_(std::move(written_to)) {}

    void log(const spdlog::details::log_msg& message) override {
        const std::string_view line(message.payload.data(), message.payload.size());
        if (limit_.passes(message.level, line, sys::now().mono)) sink_->log(message);
    }
    void flush() override {
        for (const LogLimit::LeftOut& left_out : limit_.left_out(sys::now().mono))
            sink_->log({"", static_cast<spdlog::level::level_enum>(left_out.level), left_out.text});
        sink_->flush();
    }
    void set_pattern(const std::string& pattern) override { sink_->set_pattern(pattern); }
    void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
        sink_->set_formatter(std::move(formatter));
    }

private:
    spdlog::sink_ptr sink_;
    LogLimit limit_;
};

} // namespace

bool LogLimit::passes(int level, std::string_view line, MonoTime now) {
    const auto [entry, is_new] = kinds_.try_emplace({level, kind_of(line)});
    Kind& kind = entry->second;
    // One that is over and left something out waits for being said.
    if (is_new || (now - kind.since >= window && kind.lines <= most_lines)) kind = {.since = now};
    return ++kind.lines <= most_lines;
}

std::vector<LogLimit::LeftOut> LogLimit::left_out(MonoTime now) {
    std::vector<LeftOut> said;
    for (const auto& [key, kind] : kinds_)
        if (now - kind.since >= window && kind.lines > most_lines)
            said.push_back(
                {key.first, fmt::format("{} more lines like '{}' in {} s", kind.lines - most_lines, key.second,
                                        std::chrono::floor<std::chrono::seconds>(now - kind.since).count())});
    std::erase_if(kinds_, [&](const auto& entry) { return now - entry.second.since >= window; });
    return said;
}

void limit_log() {
    for (spdlog::sink_ptr& sink : spdlog::default_logger()->sinks()) sink = std::make_shared<LimitedSink>(sink);
}

} // namespace bpftune::service
