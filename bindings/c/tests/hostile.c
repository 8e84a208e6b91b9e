/* Calls as nobody should make them: each must fail with a status and words, and nothing may crash, leak or hang. */
#define _GNU_SOURCE
#include <math.h>
#include <partstad.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDE 20
#define ROWS (SIDE * SIDE * 2)
#define OPTIONS "{\"views\": {\"side\": 100, \"poses\": [{\"elevation\": 40, \"azimuth\": 0}]}}"

static int failures = 0;

static void expect(int line, partstad_status found, partstad_status wanted, const char *words) {
    if (found != wanted || (found != PARTSTAD_OK && !strstr(partstad_last_error(), words))) {
        fprintf(stderr, "hostile.c:%d: status %d, not %d, \"%s\"\n", line, (int)found, (int)wanted,
                found == PARTSTAD_OK ? "" : partstad_last_error());
        failures++;
    }
}
#define DONE(call) expect(__LINE__, call, PARTSTAD_OK, "")
#define FAILS(call, status, words) expect(__LINE__, call, status, words)
#define HOLDS(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "hostile.c:%d: not %s\n", __LINE__, #condition); \
            failures++; \
        } \
    } while (0)

static float positions[ROWS][3];
static uint8_t colors[ROWS][3];
static const char *const parts[] = {"top", "leg"};

/* Two sheets, one red and one blue. */
static void make_points(void) {
    for (int i = 0; i < ROWS; i++) {
        int upper = i / (SIDE * SIDE);
        positions[i][0] = (float)(i % SIDE);
        positions[i][1] = (float)(upper * SIDE / 2);
        positions[i][2] = (float)(i / SIDE % SIDE);
        colors[i][0] = upper ? 200 : 20;
        colors[i][2] = upper ? 20 : 200;
    }
}

static partstad_array array(const void *data, size_t rows, uint32_t kind) {
    partstad_array made = {data, rows, kind};
    return made;
}

static const partstad_array none = {NULL, 0, 0};

static void devices(void) {
    partstad_device *device = (partstad_device *)1;
    const char *name;
    FAILS(partstad_device_open(NULL, &device), PARTSTAD_INVALID, "name is NULL");
    HOLDS(device == NULL);
    FAILS(partstad_device_open("cpu", NULL), PARTSTAD_INVALID, "device is NULL");
    FAILS(partstad_device_open("tpu:0", &device), PARTSTAD_DEVICE, "tpu:0");
    FAILS(partstad_device_open("c\xffpu", &device), PARTSTAD_INVALID, "UTF-8");
    FAILS(partstad_device_open("", &device), PARTSTAD_DEVICE, "not one of");
    FAILS(partstad_device_open("cuda:99999999999999999999", &device), PARTSTAD_DEVICE, "not one of");
    FAILS(partstad_device_name(NULL, &name), PARTSTAD_INVALID, "device is NULL");
    FAILS(partstad_device_trim(NULL), PARTSTAD_INVALID, "device is NULL");
    DONE(partstad_device_open("cpu", &device));
    FAILS(partstad_device_name(device, NULL), PARTSTAD_INVALID, "name is NULL");
    DONE(partstad_device_name(device, &name));
    HOLDS(strcmp(name, "cpu") == 0);
    DONE(partstad_device_trim(device));
    HOLDS(strstr(partstad_last_error(), "name is NULL") != NULL); /* Until the next failure. */
    partstad_device_free(device);
}

static void pipelines(void) {
    partstad_pipeline *pipeline;
    FAILS(partstad_pipeline_new(NULL, NULL, NULL), PARTSTAD_INVALID, "pipeline is NULL");
    FAILS(partstad_pipeline_new(NULL, "{", &pipeline), PARTSTAD_INVALID, "options: EOF");
    FAILS(partstad_pipeline_new(NULL, "{\"wheels\": 3}", &pipeline), PARTSTAD_INVALID, "unknown field `wheels`");
    FAILS(partstad_pipeline_new(NULL, "{\"memory\": -1}", &pipeline), PARTSTAD_INVALID, "options: ");
    FAILS(partstad_pipeline_new(NULL, "[]", &pipeline), PARTSTAD_INVALID, "options: give a JSON object");
    FAILS(partstad_pipeline_new(NULL, "{\"cloud\": [\"z\"]}", &pipeline), PARTSTAD_INVALID, "options: cloud: a list, expected an object");
    FAILS(partstad_pipeline_new(NULL, "{\"views\": {\"poses\": []}}", &pipeline), PARTSTAD_INVALID, "views.poses is empty");
    FAILS(partstad_pipeline_new(NULL, "\xc3\x28", &pipeline), PARTSTAD_INVALID, "UTF-8");
    HOLDS(pipeline == NULL);
    FAILS(partstad_pipeline_load_models(NULL, NULL, NULL), PARTSTAD_INVALID, "pipeline is NULL");
    FAILS(partstad_pipeline_load_weights(NULL, "x"), PARTSTAD_INVALID, "pipeline is NULL");
    DONE(partstad_pipeline_new(NULL, NULL, &pipeline));
    FAILS(partstad_pipeline_load_models(pipeline, "no/such", NULL), PARTSTAD_IO, "no/such");
    FAILS(partstad_pipeline_load_models(pipeline, "\xff", NULL), PARTSTAD_IO, "manifest.json");
    FAILS(partstad_pipeline_load_models(pipeline, NULL, "[]x"), PARTSTAD_INVALID, "options: ");
    FAILS(partstad_pipeline_load_weights(pipeline, NULL), PARTSTAD_INVALID, "file is NULL");
    FAILS(partstad_pipeline_load_weights(pipeline, "no-such"), PARTSTAD_IO, "no-such");
    partstad_pipeline_free(pipeline);
}

static void clouds(const partstad_pipeline *pipeline) {
    partstad_array xyz = array(positions, ROWS, PARTSTAD_F32), rgb = array(colors, ROWS, PARTSTAD_U8);
    partstad_cloud *cloud;
    FAILS(partstad_cloud_read(pipeline, NULL, &cloud), PARTSTAD_INVALID, "file is NULL");
    FAILS(partstad_cloud_read(pipeline, "no-such.ply", &cloud), PARTSTAD_IO, "no-such.ply");
    FAILS(partstad_cloud_read(pipeline, "x\xff.ply", &cloud), PARTSTAD_IO, ".ply");
    FAILS(partstad_cloud_read(NULL, "x.ply", &cloud), PARTSTAD_INVALID, "pipeline is NULL");
    FAILS(partstad_cloud_from_host(NULL, xyz, rgb, &cloud), PARTSTAD_INVALID, "pipeline is NULL");
    FAILS(partstad_cloud_from_host(pipeline, xyz, rgb, NULL), PARTSTAD_INVALID, "cloud is NULL");
    partstad_pipeline *upright;
    partstad_views *views;
    DONE(partstad_pipeline_new(NULL, "{\"cloud\": {\"up\": \"z\"}}", &upright));
    DONE(partstad_cloud_from_host(upright, xyz, rgb, &cloud));
    FAILS(partstad_render(pipeline, cloud, &views), PARTSTAD_INVALID, "the cloud was made with the options cloud");
    partstad_cloud_free(cloud);
    partstad_pipeline_free(upright);
    FAILS(partstad_cloud_from_host(pipeline, none, rgb, &cloud), PARTSTAD_INVALID, "positions: there is no array");
    FAILS(partstad_cloud_from_host(pipeline, xyz, none, &cloud), PARTSTAD_INVALID, "no colours");
    FAILS(partstad_cloud_from_host(pipeline, array(NULL, 3, PARTSTAD_F32), rgb, &cloud), PARTSTAD_INVALID,
          "positions is NULL");
    FAILS(partstad_cloud_from_host(pipeline, array(positions, 0, PARTSTAD_F32), none, &cloud), PARTSTAD_INVALID,
          "no points");
    FAILS(partstad_cloud_from_host(pipeline, array(positions, SIZE_MAX, PARTSTAD_F32), rgb, &cloud),
          PARTSTAD_MEMORY, "points in");
    FAILS(partstad_cloud_from_host(pipeline, xyz, array(colors, SIZE_MAX / 2, PARTSTAD_U8), &cloud),
          PARTSTAD_INVALID, "memory can hold");
    FAILS(partstad_cloud_from_host(pipeline, xyz, array(colors, SIZE_MAX / 4, PARTSTAD_U8), &cloud),
          PARTSTAD_INVALID, "more than memory can hold");
    FAILS(partstad_cloud_from_host(pipeline, array((char *)positions + 1, 3, PARTSTAD_F32), rgb, &cloud),
          PARTSTAD_INVALID, "no multiple of 4");
    FAILS(partstad_cloud_from_host(pipeline, array(positions, 3, 77), rgb, &cloud), PARTSTAD_INVALID, "kind 77");
    FAILS(partstad_cloud_from_host(pipeline, array(positions, ROWS, PARTSTAD_I32), rgb, &cloud), PARTSTAD_INVALID,
          "PARTSTAD_F32 or PARTSTAD_F64");
    FAILS(partstad_cloud_from_host(pipeline, xyz, array(positions, ROWS, PARTSTAD_F64 + 1), &cloud),
          PARTSTAD_INVALID, "kind 5");
    FAILS(partstad_cloud_from_host(pipeline, xyz, array(colors, ROWS - 1, PARTSTAD_U8), &cloud), PARTSTAD_INVALID,
          "800 points but 799 colours");
    FAILS(partstad_cloud_from_host(pipeline, xyz, xyz, &cloud), PARTSTAD_INVALID, "[0, 1]");
    HOLDS(cloud == NULL);

    double far[2][3] = {{-1.7e308, 0, 0}, {1.7e308, 0, 0}};
    float nan[2][3] = {{NAN, 0, 0}, {0, INFINITY, 0}};
    FAILS(partstad_cloud_from_host(pipeline, array(far, 2, PARTSTAD_F64), array(colors, 2, PARTSTAD_U8), &cloud),
          PARTSTAD_INVALID, "overflows");
    FAILS(partstad_cloud_from_host(pipeline, array(nan, 2, PARTSTAD_F32), array(colors, 2, PARTSTAD_U8), &cloud),
          PARTSTAD_INVALID, "none of the 2 points is finite");
    HOLDS(partstad_cloud_rows(NULL) == 0 && partstad_cloud_points(NULL) == 0);
}

static const partstad_box boxes[] = {{0, 0, 5, 5, 90, 45, 0.9f}, {0, 1, 5, 50, 90, 45, 0.8f}};

static partstad_predictions predictions(void) {
    partstad_predictions made = {0};
    made.boxes = boxes;
    made.box_count = 2;
    return made;
}

static void lifts(const partstad_pipeline *pipeline, const partstad_cloud *cloud) {
    partstad_predictions good = predictions(), bad;
    partstad_result *result;
    const char *names[] = {"top", NULL}, *twice[] = {"leg", " LEG "}, *odd[] = {"le\xffg"}, *empty[] = {""};
    FAILS(partstad_segment(pipeline, cloud, parts, 2, NULL, &result), PARTSTAD_MODEL, "load_models");
    FAILS(partstad_segment(NULL, cloud, parts, 2, NULL, &result), PARTSTAD_INVALID, "pipeline is NULL");
    FAILS(partstad_segment_unnamed(pipeline, cloud, NULL, &result), PARTSTAD_MODEL, "load_models");
    FAILS(partstad_segment_unnamed(pipeline, NULL, NULL, &result), PARTSTAD_INVALID, "cloud is NULL");
    FAILS(partstad_lift(pipeline, NULL, parts, 2, &good, NULL, &result), PARTSTAD_INVALID, "cloud is NULL");
    FAILS(partstad_lift(pipeline, cloud, parts, 2, NULL, NULL, &result), PARTSTAD_INVALID, "predictions is NULL");
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &good, NULL, NULL), PARTSTAD_INVALID, "result is NULL");
    FAILS(partstad_lift(pipeline, cloud, NULL, 2, &good, NULL, &result), PARTSTAD_INVALID, "parts is NULL");
    FAILS(partstad_lift(pipeline, cloud, parts, 0, &good, NULL, &result), PARTSTAD_INVALID, "no part names");
    FAILS(partstad_lift(pipeline, cloud, parts, SIZE_MAX, &good, NULL, &result), PARTSTAD_INVALID, "memory can hold");
    FAILS(partstad_lift(pipeline, cloud, names, 2, &good, NULL, &result), PARTSTAD_INVALID, "part 1 is NULL");
    FAILS(partstad_lift(pipeline, cloud, twice, 2, &good, NULL, &result), PARTSTAD_INVALID, "named twice");
    FAILS(partstad_lift(pipeline, cloud, odd, 1, &good, NULL, &result), PARTSTAD_INVALID, "UTF-8");
    FAILS(partstad_lift(pipeline, cloud, empty, 1, &good, NULL, &result), PARTSTAD_INVALID, "empty");
    FAILS(partstad_lift(pipeline, cloud, parts, 1, &good, NULL, &result), PARTSTAD_INVALID, "label 1");

    struct {
        partstad_box box;
        const char *words;
    } wrong[] = {
        {{1, 0, 5, 5, 9, 9, 0.5f}, "view 1"},
        {{UINT32_MAX, 0, 5, 5, 9, 9, 0.5f}, "view 4294967295"},
        {{0, 2, 5, 5, 9, 9, 0.5f}, "label 2"},
        {{0, 0, NAN, 5, 9, 9, 0.5f}, "finite"},
        {{0, 0, 5, 5, INFINITY, 9, 0.5f}, "finite"},
        {{0, 0, 5, 5, -9, 9, 0.5f}, "not negative"},
        {{0, 0, 5, 5, 9, 9, 1.5f}, "score 1.5"},
        {{0, 0, 5, 5, 9, 9, NAN}, "score NaN"},
        {{0, 0, 5, 5, 900, 9, 0.5f}, "outside the views"},
        {{0, 0, 0, 0, 1, 1, 0.5f}, "normalised"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        bad = good;
        bad.boxes = &wrong[i].box;
        bad.box_count = 1;
        FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, wrong[i].words);
    }
    bad = good, bad.boxes = NULL;
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "boxes is NULL");
    bad = good, bad.box_count = SIZE_MAX;
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "memory can hold");

    static uint8_t masks[2][100 * 100];
    static float logits[2][256 * 256];
    logits[1][7] = NAN;
    bad = good, bad.masks = array(masks, 1, PARTSTAD_U8);
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "masks: 1 rows");
    bad = good, bad.masks = array(logits, 2, PARTSTAD_F32);
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "logit 7 of box 1");
    bad = good, bad.masks = array(logits, 2, PARTSTAD_F64);
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "masks: the array");
    bad = good, bad.masks = array(masks, SIZE_MAX, PARTSTAD_U8);
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "memory can hold");

    static int32_t superpoints[ROWS];
    bad = good, bad.superpoints = array(superpoints, ROWS + 1, PARTSTAD_I32);
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "superpoints: 801 rows");
    bad = good, bad.superpoints = array(superpoints, ROWS, PARTSTAD_I32), superpoints[5] = -2;
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "label -2");

    float features[2][3] = {{0, 0, 0}, {0, NAN, 0}}, weights[4] = {1, 1, INFINITY, 1};
    bad = good, bad.features = array(features, 2, PARTSTAD_F32), bad.channels = 3;
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "features must be finite");
    bad.features.rows = 1;
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "features: 1 rows");
    bad.features.rows = 2, bad.channels = SIZE_MAX;
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "memory can hold");
    bad = good, bad.weights = array(weights, 4, PARTSTAD_F32);
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "weights: 4 rows");
    bad.weights.rows = 3;
    FAILS(partstad_lift(pipeline, cloud, parts, 2, &bad, NULL, &result), PARTSTAD_INVALID, "that of box 1 is inf");
    HOLDS(result == NULL);
}

static int asked;

static int cancel_later(void *user) {
    return ++asked > *(int *)user;
}

static void cancels(const partstad_pipeline *pipeline, const partstad_cloud *cloud) {
    partstad_predictions good = predictions();
    int stages = 0;
    partstad_observer observer = {&stages, NULL, NULL, cancel_later};
    partstad_result *result;
    for (;; stages++) {
        asked = 0;
        partstad_status status = partstad_lift(pipeline, cloud, parts, 2, &good, &observer, &result);
        if (status == PARTSTAD_OK) {
            break;
        }
        FAILS(status, PARTSTAD_CANCELLED, "cancelled");
        HOLDS(result == NULL);
    }
    HOLDS(stages >= 6);
    partstad_result_free(result);
}

static void views(const partstad_pipeline *pipeline, const partstad_cloud *cloud) {
    partstad_views *shown;
    const uint8_t *images;
    size_t count, side;
    int32_t of_row[ROWS];
    FAILS(partstad_render(NULL, cloud, &shown), PARTSTAD_INVALID, "pipeline is NULL");
    FAILS(partstad_render(pipeline, NULL, &shown), PARTSTAD_INVALID, "cloud is NULL");
    FAILS(partstad_views_images(NULL, &images, &count, &side), PARTSTAD_INVALID, "views is NULL");
    FAILS(partstad_views_write(NULL, "x"), PARTSTAD_INVALID, "views is NULL");
    DONE(partstad_render(pipeline, cloud, &shown));
    FAILS(partstad_views_images(shown, &images, &count, NULL), PARTSTAD_INVALID, "side is NULL");
    FAILS(partstad_views_write(shown, "/dev/null/x"), PARTSTAD_IO, "/dev/null");
    partstad_views_free(shown);
    FAILS(partstad_superpoints(pipeline, cloud, of_row, ROWS - 1, &count), PARTSTAD_INVALID, "799 rows");
    FAILS(partstad_superpoints(pipeline, cloud, NULL, ROWS, &count), PARTSTAD_INVALID, "of_row is NULL");
    DONE(partstad_superpoints(pipeline, cloud, of_row, ROWS, &count));
    partstad_pipeline *large;
    DONE(partstad_pipeline_new(NULL, "{\"memory\": 100000, \"views\": {\"side\": 8192}}", &large));
    FAILS(partstad_render(large, cloud, &shown), PARTSTAD_MEMORY, "8192 x 8192");
    partstad_pipeline_free(large);
    HOLDS(count > 0 && of_row[0] >= 0 && (size_t)of_row[ROWS - 1] < count);
}

struct shared {
    const partstad_pipeline *pipeline;
    const partstad_cloud *cloud;
    int32_t labels[ROWS];
};

/* Lifts, and fails in its own words. */
static void *lift_in_thread(void *user) {
    struct shared *shared = user;
    partstad_predictions good = predictions();
    partstad_result *result;
    const int32_t *labels;
    size_t rows;
    partstad_observer observer = {0};
    for (int turn = 0; turn < 3; turn++) {
        FAILS(partstad_segment(shared->pipeline, shared->cloud, parts, 2, NULL, &result), PARTSTAD_MODEL, "no models");
        DONE(partstad_lift(shared->pipeline, shared->cloud, parts, 2, &good, &observer, &result));
        DONE(partstad_result_labels(result, &labels, &rows));
        HOLDS(rows == ROWS);
        memcpy(shared->labels, labels, sizeof shared->labels);
        partstad_result_free(result);
    }
    return NULL;
}

static void threads(const partstad_pipeline *pipeline, const partstad_cloud *cloud) {
    static struct shared shared[4];
    pthread_t thread[4];
    partstad_result *result;
    FAILS(partstad_lift(NULL, NULL, NULL, 0, NULL, NULL, &result), PARTSTAD_INVALID, "pipeline is NULL");
    for (int i = 0; i < 4; i++) {
        shared[i].pipeline = pipeline, shared[i].cloud = cloud;
        pthread_create(&thread[i], NULL, lift_in_thread, &shared[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        HOLDS(memcmp(shared[0].labels, shared[i].labels, sizeof shared[0].labels) == 0);
    }
    HOLDS(strstr(partstad_last_error(), "pipeline is NULL") != NULL); /* Not the words of others. */
}

/* Results outlive all else, and show NaN rows as rows without a part. */
static void results(void) {
    partstad_pipeline *pipeline;
    partstad_cloud *cloud;
    partstad_result *result;
    partstad_predictions good = predictions();
    float one = positions[3][1];
    positions[3][1] = NAN;
    DONE(partstad_pipeline_new(NULL, OPTIONS, &pipeline));
    DONE(partstad_cloud_from_host(pipeline, array(positions, ROWS, PARTSTAD_F32), array(colors, ROWS, PARTSTAD_U8),
                                  &cloud));
    HOLDS(partstad_cloud_rows(cloud) == ROWS && partstad_cloud_points(cloud) == ROWS - 1);
    DONE(partstad_lift(pipeline, cloud, parts, 2, &good, NULL, &result));
    partstad_cloud_free(cloud);
    partstad_pipeline_free(pipeline);
    positions[3][1] = one;

    const int32_t *labels;
    const float *scores;
    const char *json;
    const char *const *warnings;
    const partstad_part *found;
    size_t rows, count, columns;
    DONE(partstad_result_labels(result, &labels, &rows));
    HOLDS(rows == ROWS && labels[3] == -1);
    FAILS(partstad_result_labels(result, NULL, &rows), PARTSTAD_INVALID, "is NULL");
    FAILS(partstad_result_labels(result, &labels, NULL), PARTSTAD_INVALID, "is NULL");
    FAILS(partstad_result_labels(NULL, &labels, &rows), PARTSTAD_INVALID, "result is NULL");
    DONE(partstad_result_scores(result, &scores, &count, &columns));
    HOLDS(count > 0 && columns == 3 && fabsf(scores[0] + scores[1] + scores[2] - 1) < 1e-5f);
    DONE(partstad_result_warnings(result, &warnings, &count));
    HOLDS(count > 0 && strstr(warnings[0], "1 of 800 rows are not finite"));
    DONE(partstad_result_parts(result, &found, &count));
    HOLDS(count == 2 && strcmp(found[1].name, "leg") == 0);
    DONE(partstad_result_json(result, &json));
    HOLDS(strstr(json, "\"partstad_lift\"") && strstr(json, "not finite"));
    FAILS(partstad_result_face_labels(result, &labels, &rows), PARTSTAD_INVALID, "not of a mesh");
    FAILS(partstad_result_write(result, NULL), PARTSTAD_INVALID, "folder is NULL");
    FAILS(partstad_result_write(result, "/dev/null/x"), PARTSTAD_IO, "/dev/null");
    FAILS(partstad_result_json(NULL, &json), PARTSTAD_INVALID, "result is NULL");
    partstad_result_free(result);

    DONE(partstad_pipeline_new(NULL, "{\"memory\": 1}", &pipeline));
    FAILS(partstad_cloud_from_host(pipeline, array(positions, ROWS, PARTSTAD_F32), array(colors, ROWS, PARTSTAD_U8),
                                   &cloud),
          PARTSTAD_MEMORY, "the option memory allows");
    partstad_pipeline_free(pipeline);
}

/* A file that is broken, and then a cube, whose faces get labels. */
static void meshes(void) {
    static const char *const cube =
        "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 1\nv 1 0 1\nv 1 1 1\nv 0 1 1\n"
        "f 1 4 3 2\nf 5 6 7 8\nf 1 2 6 5\nf 3 4 8 7\nf 1 5 8 4\nf 2 3 7 6\n";
    const char *options =
        "{\"mesh\": {\"points\": 2000}, \"views\": {\"side\": 100, \"poses\": [{\"elevation\": 40, \"azimuth\": 0}]}}";
    char path[] = "/tmp/partstad-XXXXXX.obj";
    int file = mkstemps(path, 4);
    partstad_pipeline *pipeline;
    partstad_cloud *cloud;
    partstad_result *result;
    partstad_predictions good = predictions();
    const int32_t *labels, *instances;
    size_t faces, count;
    HOLDS(write(file, "f 1 2 9\n", 8) == 8);
    DONE(partstad_pipeline_new(NULL, options, &pipeline));
    FAILS(partstad_cloud_read(pipeline, path, &cloud), PARTSTAD_FORMAT, "names vertex");
    HOLDS(pwrite(file, cube, strlen(cube), 0) == (ssize_t)strlen(cube) && close(file) == 0);
    DONE(partstad_cloud_read(pipeline, path, &cloud));
    HOLDS(remove(path) == 0 && partstad_cloud_rows(cloud) == 2000);
    DONE(partstad_lift(pipeline, cloud, parts, 2, &good, NULL, &result));
    DONE(partstad_result_face_labels(result, &labels, &faces));
    DONE(partstad_result_face_instances(result, &instances, &count));
    HOLDS(faces == 6 && count == 6);
    for (size_t face = 0; face < faces; face++) {
        HOLDS(labels[face] >= -1 && labels[face] < 2 && (instances[face] < 0 || labels[face] >= 0));
    }
    partstad_result_free(result);
    partstad_cloud_free(cloud);
    partstad_pipeline_free(pipeline);
}

int main(void) {
    HOLDS(partstad_abi() == PARTSTAD_ABI);
    HOLDS(strlen(partstad_version()) >= 5);
    HOLDS(strcmp(partstad_last_error(), "") == 0);
    FAILS(partstad_start_threads(SIZE_MAX), PARTSTAD_INVALID, "the limit is");
    DONE(partstad_start_threads(2));
    FAILS(partstad_start_threads(2), PARTSTAD_INVALID, "do not start");
    make_points();
    devices();
    pipelines();

    partstad_pipeline *pipeline;
    partstad_cloud *cloud;
    DONE(partstad_pipeline_new(NULL, OPTIONS, &pipeline));
    clouds(pipeline);
    DONE(partstad_cloud_from_host(pipeline, array(positions, ROWS, PARTSTAD_F32), array(colors, ROWS, PARTSTAD_U8),
                                  &cloud));
    lifts(pipeline, cloud);
    cancels(pipeline, cloud);
    views(pipeline, cloud);
    threads(pipeline, cloud);
    partstad_cloud_free(cloud);
    partstad_pipeline_free(pipeline);
    results();
    meshes();

    partstad_device_free(NULL);
    partstad_pipeline_free(NULL);
    partstad_cloud_free(NULL);
    partstad_result_free(NULL);
    partstad_views_free(NULL);
    if (failures == 0) {
        puts("all hostile calls were refused");
    }
    return failures != 0;
}
