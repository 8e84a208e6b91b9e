// Lifts what a detector of one's own finds in the views to a cloud: lift [OPTIONS]
//
// The cloud is a table of this program's making: a red top on four blue legs. The detector looks for pixels of these
// colours. No models are needed.
#include <algorithm>
#include <iostream>
#include <limits>
#include <partstad.hpp>
#include <vector>

namespace {

struct table {
    std::vector<float> positions;
    std::vector<std::uint8_t> colors;

    // A block of points on a grid, from one corner to the other.
    void block(const float (&low)[3], const float (&high)[3], const std::uint8_t (&color)[3]) {
        constexpr float step = 0.04f;
        for (float x = low[0]; x <= high[0]; x += step) {
            for (float y = low[1]; y <= high[1]; y += step) {
                for (float z = low[2]; z <= high[2]; z += step) {
                    positions.insert(positions.end(), {x, y, z});
                    colors.insert(colors.end(), color, color + 3);
                }
            }
        }
    }

    std::size_t rows() const { return positions.size() / 3; }
};

table make_table() {
    table made;
    made.block({-1, 0.9f, -1}, {1, 1, 1}, {200, 30, 30});
    for (float x : {-0.9f, 0.7f}) {
        for (float z : {-0.9f, 0.7f}) {
            made.block({x, -0.6f, z}, {x + 0.2f, 0.86f, z + 0.2f}, {30, 30, 200});
        }
    }
    return made;
}

// A box in each image around the pixels whose stronger colour is red (0) or blue (2).
std::vector<partstad_box> detect(const partstad::views &views) {
    const std::uint8_t *images;
    std::size_t count, side;
    partstad::check(partstad_views_images(views.get(), &images, &count, &side));
    std::vector<partstad_box> boxes;
    for (std::uint32_t view = 0; view < count; view++) {
        for (std::uint32_t part : {0u, 1u}) {
            float left = std::numeric_limits<float>::max(), top = left, right = -1, bottom = -1;
            for (std::size_t pixel = 0; pixel < side * side; pixel++) {
                const std::uint8_t *color = images + 3 * (view * side * side + pixel);
                const int redder = color[0] - color[2];
                if (part == 0 ? redder > 60 : redder < -60) {
                    const float x = static_cast<float>(pixel % side), y = static_cast<float>(pixel / side);
                    left = std::min(left, x), top = std::min(top, y);
                    right = std::max(right, x + 1), bottom = std::max(bottom, y + 1);
                }
            }
            if (right > left) {
                boxes.push_back({view, part, left, top, right - left, bottom - top, 1.0f});
            }
        }
    }
    return boxes;
}

} // namespace

int main(int count, char **arguments) {
    try {
        const char *options = count > 1 ? arguments[1] : nullptr;
        const auto device = partstad::make<partstad_device>(partstad_device_open, "auto");
        const auto pipeline = partstad::make<partstad_pipeline>(partstad_pipeline_new, device.get(), options);
        const table made = make_table();
        const auto cloud = partstad::make<partstad_cloud>(
            partstad_cloud_from_host, pipeline.get(), partstad::array(made.positions.data(), made.rows()),
            partstad::array(made.colors.data(), made.rows()));
        const auto views = partstad::make<partstad_views>(partstad_render, pipeline.get(), cloud.get());

        const std::vector<partstad_box> boxes = detect(views);
        partstad_predictions predictions = {};
        predictions.boxes = boxes.data();
        predictions.box_count = boxes.size();
        const char *parts[] = {"top", "leg"};
        const auto result = partstad::make<partstad_result>(
            partstad_lift, pipeline.get(), cloud.get(), parts, std::size(parts), &predictions, nullptr);

        for (const partstad_part &part : partstad::show(partstad_result_parts, result)) {
            std::cout << part.name << ": " << part.points << " points, " << part.instances << " instances\n";
        }
        const auto labels = partstad::show(partstad_result_labels, result);
        std::size_t right = 0;
        for (std::size_t row = 0; row < labels.count; row++) {
            right += labels[row] == (made.colors[3 * row] > 100 ? 0 : 1);
        }
        std::cout << right << " of " << labels.count << " rows have the part of their colour\n";
    } catch (const partstad::error &failed) {
        std::cerr << "error " << failed.status << ": " << failed.what() << '\n';
        return 1;
    }
}
