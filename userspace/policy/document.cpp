// SPDX-License-Identifier: Apache-2.0
#include "policy/document.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "core/text.hpp"
#include "policy/keys.hpp"
#include "policy/lines.hpp"

namespace bpftune::policy {
namespace {

using Lines = std::vector<std::string_view>;

Diagnostic at(Place place, std::string message, std::string hint) {
    return {place.line, place.column, std::move(message), std::move(hint)};
}

// yaml-cpp counts from 0, and has -1 for "nowhere".
Place place_of(const Lines& lines, const YAML::Mark& mark) {
    if (mark.line < 0 || mark.column < 0) return {};
    const std::size_t line = std::min(static_cast<std::size_t>(mark.line), lines.size() - 1);
    return {line + 1, std::min(static_cast<std::size_t>(mark.column), lines[line].size()) + 1};
}

// Of a text that begins with a quote; other text has none to close.
bool closes_its_quote(std::string_view text) {
    if (!text.starts_with('"') && !text.starts_with('\'')) return true;
    const char quote = text.front();
    for (std::size_t i = 1; i < text.size(); ++i) {
        const bool escape = quote == '"' ? text[i] == '\\' : text.substr(i).starts_with("''");
        if (escape)
            ++i;
        else if (text[i] == quote)
            return true;
    }
    return false;
}

// Builds the tree from the parser's events: the events still know tags, anchors and duplicate keys, and an alias is
// only a word here, so that no file can unfold into more than its own size.
class Builder final : public YAML::EventHandler {
public:
    explicit Builder(const Lines& lines) : lines_(lines) {}

    [[nodiscard]] Document take() { return std::move(document_); }
    [[nodiscard]] const std::optional<Diagnostic>& open_quote() const { return open_quote_; }
    [[nodiscard]] Place begin() const { return begin_; }

    // Of the innermost list or map that is not closed.
    [[nodiscard]] std::optional<Place> unclosed() const {
        return open_.empty() ? std::nullopt : std::optional(open_.back().place);
    }

    void OnDocumentStart(const YAML::Mark& mark) override { begin_ = place_of(lines_, mark); }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        refuse_marks(mark, "", anchor);
        add(node(Element::Kind::null, mark));
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        document_.problems.push_back(at(place_of(lines_, mark), "aliases are not taken", "write the value itself"));
        add(node(Element::Kind::refused, mark));
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        refuse_marks(mark, tag, anchor);
        if (tag == "!") check_quotes(mark);
        Element scalar = node(Element::Kind::scalar, mark);
        scalar.text = value;
        add(std::move(scalar));
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        refuse_marks(mark, tag, anchor);
        open_.push_back(node(Element::Kind::list, mark));
    }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        refuse_marks(mark, tag, anchor);
        open_.push_back(node(Element::Kind::map, mark));
    }
    void OnSequenceEnd() override { close(); }
    void OnMapEnd() override { close(); }

private:
    [[nodiscard]] Element node(Element::Kind kind, const YAML::Mark& mark) const {
        Element made;
        made.kind = kind;
        made.place = place_of(lines_, mark);
        return made;
    }

    void refuse_marks(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        const Place place = place_of(lines_, mark);
        // "?" and "!" are what the parser calls plain and quoted scalars.
        if (!tag.empty() && tag != "?" && tag != "!")
            document_.problems.push_back(at(place, "tags are not taken", "take out the word that begins with '!'"));
        if (anchor != 0)
            document_.problems.push_back(at(place, "anchors are not taken", "take out the word that begins with '&'"));
    }

    // The parser takes the end of the file for the closing quote. No value of a policy needs a second line: what goes
    // on below has lost its quote here.
    void check_quotes(const YAML::Mark& mark) {
        const Place place = place_of(lines_, mark);
        std::string_view line = lines_[place.line - 1];
        line.remove_prefix(place.column - 1);
        if (!open_quote_ && !closes_its_quote(line))
            open_quote_ = at(place, "a quoted text that does not end on its line", "close the quote");
    }

    void close() {
        Element closed = std::move(open_.back());
        open_.pop_back();
        add(std::move(closed));
    }

    void add(Element child) {
        if (open_.empty()) {
            document_.root = std::move(child);
            return;
        }
        Element& parent = open_.back();
        if (parent.kind == Element::Kind::map && parent.keys.size() == parent.values.size()) {
            parent.keys.push_back(std::move(child));
            return;
        }
        // The parser's mark of nothing is where it went on reading, often some lines below.
        if (parent.kind == Element::Kind::map && child.kind == Element::Kind::null)
            child.place = parent.keys.back().place;
        parent.values.push_back(std::move(child));
    }

    const Lines& lines_;
    Document document_;
    std::optional<Diagnostic> open_quote_;
    Place begin_;
    std::vector<Element> open_;
};

std::optional<Diagnostic> refused_byte(Place place, std::string_view rest) {
    const CodePoint point = first_code_point(rest);
    const std::string shown = printable(rest.substr(0, 1));
    if (point.length == 0) return at(place, fmt::format("byte {} is not UTF-8", shown), "save the file as UTF-8");
    if (point.value == '\r')
        return at(place, fmt::format("control character {}", shown), "save the file with line ends LF or CRLF");
    if ((point.value < 0x20 && point.value != '\t') || point.value == 0x7F)
        return at(place, fmt::format("control character {}", shown), "take it out");
    return std::nullopt;
}

// Before the parser sees it: what it would guess at, or take for the end of the file.
std::optional<Diagnostic> refused_text(const Lines& lines) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
        for (std::size_t byte = 0; byte < lines[i].size();) {
            const std::string_view rest = lines[i].substr(byte);
            if (auto problem = refused_byte({i + 1, byte + 1}, rest)) return problem;
            byte += first_code_point(rest).length;
        }
        const std::size_t tab = lines[i].find('\t');
        const std::size_t word = lines[i].find_first_not_of(" \t");
        if (tab < word) return at({i + 1, tab + 1}, "a tab in the indentation", "indent with spaces");
    }
    return std::nullopt;
}

struct Friendly {
    std::string_view theirs; // how the parser's message begins
    std::string_view message;
    std::string_view hint;
};

const std::array friendly{
    Friendly{YAML::ErrorMsg::END_OF_MAP_FLOW, "this '{' is not closed",
             "close it with '}', and put ',' between entries"},
    Friendly{YAML::ErrorMsg::END_OF_SEQ_FLOW, "this '[' is not closed", "close it with ']', and put ',' between items"},
    Friendly{YAML::ErrorMsg::END_OF_MAP, "this does not belong to the map above",
             "write 'KEY: VALUE', indented as its neighbours"},
    Friendly{YAML::ErrorMsg::END_OF_SEQ, "this does not belong to the list above", "indent it as its neighbours"},
    Friendly{YAML::ErrorMsg::EOF_IN_SCALAR, "a quoted text is not closed", "look above for the quote that opens it"},
    Friendly{YAML::ErrorMsg::DOC_IN_SCALAR, "a quoted text is not closed", "look above for the quote that opens it"},
    Friendly{YAML::ErrorMsg::FLOW_END, "a bracket that closes nothing", "take it out"},
    Friendly{YAML::ErrorMsg::MAP_VALUE, "a ':' that can't be here",
             "is a ':' missing above, or this line indented too far? quote a value that has ': ' in it"},
    Friendly{YAML::ErrorMsg::MAP_KEY, "a '?' that can't be here", "quote a value that begins with '?'"},
    Friendly{YAML::ErrorMsg::BLOCK_ENTRY, "a '-' that can't be here", "quote a value that begins with '- '"},
    Friendly{YAML::ErrorMsg::UNKNOWN_TOKEN, "a character that can't be here", "quote a value that begins with it"},
    Friendly{YAML::ErrorMsg::UNKNOWN_ANCHOR, "aliases are not taken", "write the value itself"},
    Friendly{YAML::ErrorMsg::ALIAS_CONTENT, "aliases are not taken", "write the value itself"},
    Friendly{YAML::ErrorMsg::INVALID_ESCAPE, "an escape that YAML does not know", "write a backslash as '\\\\'"},
};

Diagnostic syntax_problem(const Lines& lines, const Builder& builder, const YAML::Exception& error) {
    if (const auto& quote = builder.open_quote()) return *quote;
    Place place = place_of(lines, error.mark);
    if (error.msg == YAML::ErrorMsg::END_OF_MAP_FLOW || error.msg == YAML::ErrorMsg::END_OF_SEQ_FLOW)
        place = builder.unclosed().value_or(place);
    for (const Friendly& row : friendly)
        if (error.msg.starts_with(row.theirs)) return at(place, std::string(row.message), std::string(row.hint));
    return at(place, fmt::format("not valid YAML: {}", printable(error.msg)), "");
}

std::expected<Document, Diagnostic> build(const Lines& lines, std::string_view text) {
    Builder first(lines);
    Builder second(lines);
    Builder* reading = &first;
    try {
        std::istringstream stream{std::string(text)};
        YAML::Parser parser(stream);
        parser.HandleNextDocument(first);
        reading = &second;
        const bool more = parser.HandleNextDocument(second);
        Document document = first.take();
        if (const auto& quote = first.open_quote()) return std::unexpected(*quote);
        if (more)
            document.problems.push_back(
                at(second.begin(), "a second document", "one policy in a file: take '---' out"));
        return document;
    } catch (const YAML::DeepRecursion& error) {
        const Place place = reading->unclosed().value_or(place_of(lines, error.mark));
        return std::unexpected(at(place, "nested too deeply", "a policy needs four levels"));
    } catch (const YAML::Exception& error) {
        return std::unexpected(syntax_problem(lines, *reading, error));
    } catch (const std::exception& error) {
        return std::unexpected(at({}, fmt::format("not valid YAML: {}", printable(error.what())), ""));
    }
}

} // namespace

std::expected<Document, Diagnostic> read(std::string_view text) {
    if (text.size() > largest_file_bytes)
        return std::unexpected(at({}, fmt::format("the file is larger than {} bytes", largest_file_bytes), ""));
    text = without_bom(text);
    const Lines lines = lines_of(text);
    if (auto problem = refused_text(lines)) return std::unexpected(*std::move(problem));
    return build(lines, text);
}

void count_code_points(std::string_view text, std::vector<Diagnostic>& problems) {
    const Lines lines = lines_of(without_bom(text));
    for (Diagnostic& problem : problems) problem.column = points_of(lines[problem.line - 1], problem.column - 1) + 1;
}

} // namespace bpftune::policy
