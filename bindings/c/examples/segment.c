/* Segments a cloud or a mesh by the models inside the library: segment FILE FOLDER PARTS [OPTIONS]
 *
 * FILE: a coloured cloud or mesh. FOLDER: what is found is written there. PARTS: such as arm,back,leg,seat,wheel.
 * OPTIONS: JSON, such as {"cloud": {"up": "z"}}.
 */
#include <partstad.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program if a call failed. */
static void check(partstad_status status) {
    if (status != PARTSTAD_OK) {
        fprintf(stderr, "error %d: %s\n", (int)status, partstad_last_error());
        exit(1);
    }
}

static void begins(void *user, const char *stage) {
    fprintf(user, "%s\n", stage);
}

int main(int count, char **arguments) {
    if (count < 4) {
        fprintf(stderr, "usage: %s FILE FOLDER PARTS [OPTIONS]\n", arguments[0]);
        return 2;
    }
    const char *parts[16];
    size_t part_count = 0;
    for (char *name = strtok(arguments[3], ","); name && part_count < 16; name = strtok(NULL, ",")) {
        parts[part_count++] = name;
    }

    /* Device, pipeline and models are made once and serve any number of clouds. */
    partstad_device *device;
    check(partstad_device_open("auto", &device));
    partstad_pipeline *pipeline;
    check(partstad_pipeline_new(device, count > 4 ? arguments[4] : NULL, &pipeline));
    check(partstad_pipeline_load_models(pipeline, NULL, NULL));

    partstad_cloud *cloud;
    check(partstad_cloud_read(pipeline, arguments[1], &cloud));
    partstad_observer observer = {.user = stderr, .begins = begins};
    partstad_result *result;
    check(partstad_segment(pipeline, cloud, parts, part_count, &observer, &result));

    const partstad_part *found;
    check(partstad_result_parts(result, &found, &part_count));
    for (size_t j = 0; j < part_count; j++) {
        printf("%s: %zu points, %zu instances", found[j].name, found[j].points, found[j].instances);
        printf(found[j].reason ? " (%s)\n" : "%s\n", found[j].reason ? found[j].reason : "");
    }
    const int32_t *labels;
    size_t rows, labelled = 0;
    check(partstad_result_labels(result, &labels, &rows));
    for (size_t row = 0; row < rows; row++) {
        labelled += labels[row] >= 0;
    }
    printf("%zu of %zu rows have a part\n", labelled, rows);
    const char *const *warnings;
    size_t warning_count;
    check(partstad_result_warnings(result, &warnings, &warning_count));
    for (size_t i = 0; i < warning_count; i++) {
        printf("warning: %s\n", warnings[i]);
    }
    check(partstad_result_write(result, arguments[2]));

    partstad_result_free(result);
    partstad_cloud_free(cloud);
    partstad_pipeline_free(pipeline);
    partstad_device_free(device);
    return 0;
}
