// SPDX-License-Identifier: Apache-2.0
#include "kube/cri_listing.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <tuple>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "core/text.hpp"

namespace bpftune::kube {
namespace {

namespace cri = ::runtime::v1;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::ZeroCopyInputStream;
using Entries = google::protobuf::RepeatedPtrField<cri::Entry>;

constexpr std::string_view own_prefix = "bpftune-k8s.io/";
constexpr std::size_t most_of_ours = 4;

// Of one sandbox or container. Kubernetes takes 256 KiB of annotations, and no object of 1.5 MiB.
constexpr std::uint32_t longest_item_bytes = 1 << 20;

// Calls `each` with every item of an answer, whose only field is the list of them; one that is too long is passed over.
// False: it is no such answer.
template <class Item, class Each> bool read_items(ZeroCopyInputStream& answer, std::size_t& too_long, Each each) {
    constexpr std::uint32_t items = WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
    CodedInputStream in(&answer);
    while (const std::uint32_t tag = in.ReadTag()) {
        if (tag != items) {
            if (!WireFormatLite::SkipField(&in, tag)) return false;
            continue;
        }
        int size = 0;
        if (!in.ReadVarintSizeAsInt(&size)) return false;
        if (static_cast<std::uint32_t>(size) > longest_item_bytes) {
            if (!in.Skip(size)) return false;
            ++too_long;
            continue;
        }
        const auto whole = in.PushLimit(size);
        Item item;
        if (!item.MergeFromCodedStream(&in) || in.BytesUntilLimit() != 0) return false;
        in.PopLimit(whole);
        each(item);
    }
    return in.ConsumedEntireMessage();
}

// At most `most` values, those that matter before the others.
template <class Value> class Bounded {
public:
    explicit Bounded(std::size_t most) : most_(most) {}
    void add(Value value, bool matters) {
        std::vector<Value>& values = matters ? first_ : others_;
        if (values.size() < most_) values.push_back(std::move(value));
        ++seen_;
    }
    void leave_out(std::size_t count = 1) { seen_ += count; }

    // By id; how many others there were is added to `left_out`.
    std::vector<Value> take(std::size_t& left_out) {
        const std::size_t more = std::min(others_.size(), most_ - first_.size());
        std::move(others_.begin(), others_.begin() + static_cast<std::ptrdiff_t>(more), std::back_inserter(first_));
        left_out += seen_ - first_.size();
        std::sort(first_.begin(), first_.end(), [](const Value& a, const Value& b) { return a.id < b.id; });
        return std::move(first_);
    }

private:
    std::size_t most_;
    std::size_t seen_ = 0;
    std::vector<Value> first_;
    std::vector<Value> others_;
};

bool is_name(std::string_view text) { return !text.empty() && text.size() <= longest_name_bytes; }

// A name that was cut could be another's: who has one that is too long is left out.
bool is_named(const cri::PodSandbox& one) {
    return is_name(one.id()) && is_name(one.metadata().uid()) && is_name(one.metadata().namespace_()) &&
           is_name(one.metadata().name());
}
bool is_named(const cri::Container& one) {
    return is_name(one.id()) && is_name(one.pod_sandbox_id()) && is_name(one.metadata().name());
}

bool is_ours(const cri::Entry& entry) { return std::string_view(entry.key()).starts_with(own_prefix); }

// A policy asks for none that is longer. Of ours what is wrong has to be seen.
bool may_be_asked_for(const cri::Entry& entry) {
    return entry.key().size() <= longest_key_bytes && (entry.value().size() <= longest_value_bytes || is_ours(entry));
}

// Ours first: no other annotation may take its place.
std::vector<const cri::Entry*> by_importance(const Entries& entries) {
    std::vector<const cri::Entry*> kept;
    for (const cri::Entry& one : entries)
        if (may_be_asked_for(one)) kept.push_back(&one);
    const auto rank = [](const cri::Entry* one) { return std::tuple(!is_ours(*one), std::string_view(one->key())); };
    std::sort(kept.begin(), kept.end(), [&](auto* a, auto* b) { return rank(a) < rank(b); });
    return kept;
}

// Labels or annotations, as long as `room` bytes are left. A few of ours are kept in any case: whether a pod asks to be
// left alone does not hang on what others ask for.
std::map<std::string, std::string> to_map(const Entries& entries, std::size_t& room, bool& is_incomplete) {
    std::map<std::string, std::string> map;
    for (const cri::Entry* entry : by_importance(entries)) {
        std::string key = printable(entry->key());
        std::string value = printable(entry->value().substr(0, longest_value_bytes));
        const bool is_kept = is_ours(*entry) && map.size() < most_of_ours;
        if (!is_kept && (map.size() == most_entries || key.size() + value.size() > room)) {
            is_incomplete = true;
            break;
        }
        if (!is_kept) room -= key.size() + value.size();
        map.insert_or_assign(std::move(key), std::move(value));
    }
    return map;
}

Sandbox to_sandbox(const cri::PodSandbox& from, std::size_t& room) {
    Sandbox sandbox{
        .id = printable(from.id()),
        .uid = printable(from.metadata().uid()),
        .ns = printable(from.metadata().namespace_()),
        .name = printable(from.metadata().name()),
        .ready = from.state() == cri::SANDBOX_READY,
        .created_ns = from.created_at(),
    };
    sandbox.labels = to_map(from.labels(), room, sandbox.is_incomplete);
    sandbox.annotations = to_map(from.annotations(), room, sandbox.is_incomplete);
    const auto all = static_cast<std::size_t>(from.labels_size()) + static_cast<std::size_t>(from.annotations_size());
    sandbox.entries_left_out = all - sandbox.labels.size() - sandbox.annotations.size();
    return sandbox;
}

bool read_sandboxes(ZeroCopyInputStream& answer, Listing& listing) {
    std::size_t room = most_text_bytes;
    std::size_t room_of_others = most_text_bytes / 4;
    std::size_t too_long = 0;
    Bounded<Sandbox> sandboxes(most_sandboxes);
    const bool is_read = read_items<cri::PodSandbox>(answer, too_long, [&](const cri::PodSandbox& one) {
        const bool ready = one.state() == cri::SANDBOX_READY;
        if (is_named(one))
            sandboxes.add(to_sandbox(one, ready ? room : room_of_others), ready);
        else
            sandboxes.leave_out();
    });
    sandboxes.leave_out(too_long);
    listing.sandboxes = sandboxes.take(listing.left_out.sandboxes);
    for (const Sandbox& one : listing.sandboxes) listing.left_out.entries += one.entries_left_out;
    return is_read;
}

Container to_container(const cri::Container& from) {
    return {.id = printable(from.id()),
            .sandbox_id = printable(from.pod_sandbox_id()),
            .name = printable(from.metadata().name()),
            .running = from.state() == cri::CONTAINER_RUNNING};
}

bool read_containers(ZeroCopyInputStream& answer, Listing& listing) {
    std::size_t too_long = 0;
    Bounded<Container> containers(most_containers);
    const bool is_read = read_items<cri::Container>(answer, too_long, [&](const cri::Container& one) {
        if (is_named(one))
            containers.add(to_container(one), one.state() == cri::CONTAINER_RUNNING);
        else
            containers.leave_out();
    });
    containers.leave_out(too_long);
    listing.containers = containers.take(listing.left_out.containers);
    return is_read;
}

std::string to_runtime(const cri::VersionResponse& from) {
    constexpr std::size_t longest = 64;
    return printable(from.runtime_name().substr(0, longest)) + " " +
           printable(from.runtime_version().substr(0, longest));
}

} // namespace

Result<Listing> to_listing(const cri::VersionResponse& version, ZeroCopyInputStream& sandboxes,
                           ZeroCopyInputStream& containers) {
    Listing listing{.runtime = to_runtime(version)};
    if (!read_sandboxes(sandboxes, listing)) return failure("its list of pods cannot be read");
    if (!read_containers(containers, listing)) return failure("its list of containers cannot be read");
    return listing;
}

} // namespace bpftune::kube
