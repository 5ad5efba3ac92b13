/* fileset_test.c - reading script directories, shadowing, and the generations that are kept. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lua/fileset.h"

static char base[64];

static const char *at(const char *rel)
{
    static char path[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", base, rel);
    return path[turn];
}

static void put(const char *rel, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", base, rel);
    for (char *slash = strchr(path + strlen(base) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "/tmp/rucat-fileset-XXXXXX");
    return mkdtemp(base) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command) == -1;
}

/* Reads one folder of ours, which must be refused with that text. */
static void must_complain(const char *folder, const char *text)
{
    ruc_fileset_t set;
    ruc_why_t why = {""};
    const char *roots[] = {at(folder)};
    int rc = ruc_fileset_read(&set, roots, 1, &why);
    if (rc == 0 || strstr(ruc_buf_str(&set.problems), text) == NULL) {
        print_message("%s: '%s' is not in '%s'\n", folder, text, ruc_buf_str(&set.problems));
    }
    assert_int_equal(rc, RUC_ESCRIPT);
    assert_int_equal(set.count, 0);
    assert_non_null(strstr(ruc_buf_str(&set.problems), text));
    assert_non_null(strstr(why.text, base)); /* the first of them, with its path */
    ruc_fileset_free(&set);
}

static void only_scripts_are_read_in_order_and_the_first_shadows(void **state)
{
    (void)state;
    ruc_fileset_t set;
    ruc_why_t why = {""};
    put("one/handlers/a.lua", "one a");
    put("one/handlers/.hidden.lua", "no");
    put("one/.git/x.lua", "no");
    put("one/handlers/a.lua~", "no");
    put("one/handlers/.lua", "no");
    put("one/handlers/notes.txt", "\xff\xfe no");
    put("one/z.lua", "");
    put("one/bom.lua", "\xef\xbb\xbfreturn 1");
    put("two/handlers/a.lua", "two a, \xff shadowed");
    put("two/handlers/b.lua", "two b");
    assert_int_equal(symlink("/no/such", at("two/lost")), 0);
    assert_int_equal(symlink("b.lua", at("two/handlers/link.lua")), 0);
    assert_int_equal(mkfifo(at("two/fifo"), 0600), 0);
    const char *roots[] = {at("one"), at("two")};
    assert_int_equal(ruc_fileset_read(&set, roots, 2, &why), 0);
    static const char *const names[] = {"bom.lua", "handlers/a.lua", "handlers/b.lua",
                                        "handlers/link.lua", "z.lua"};
    assert_int_equal(set.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(set.files[i].name, names[i]);
        assert_ptr_equal(ruc_fileset_find(&set, names[i]), &set.files[i]);
    }
    assert_string_equal(set.files[0].text, "return 1"); /* without the mark */
    assert_int_equal(set.files[0].len, 8);
    assert_string_equal(set.files[1].text, "one a");
    assert_string_equal(set.files[1].path, at("one/handlers/a.lua"));
    assert_int_equal(set.files[4].len, 0);
    assert_null(ruc_fileset_find(&set, "handlers/c.lua"));
    ruc_fileset_free(&set);
    ruc_fileset_free(&set); /* twice is fine */
}

static void a_directory_that_is_not_there_is_named(void **state)
{
    (void)state;
    ruc_fileset_t set;
    ruc_why_t why = {""};
    const char *roots[] = {at("nosuch")};
    assert_true(ruc_fileset_read(&set, roots, 1, &why) < 0);
    assert_non_null(strstr(why.text, "nosuch"));
    assert_int_equal(set.count, 0);
    ruc_fileset_free(&set);
    put("plain", "a file");
    must_complain("plain", "plain: a file where a folder is expected");
}

/* Each of these stands where a script is expected. */
static void what_is_no_script_is_named(void **state)
{
    (void)state;
    put("pipe/a.lua", "return 1");
    assert_int_equal(mkfifo(at("pipe/fifo.lua"), 0600), 0); /* must not be waited for */
    must_complain("pipe", "pipe/fifo.lua: a named pipe where a file is expected");
    put("device/a.lua", "");
    assert_int_equal(symlink("/dev/zero", at("device/zero.lua")), 0);
    must_complain("device", "device/zero.lua: a link out of the script directory");
    put("folder/policies/restart.lua/x", "");
    must_complain("folder", "policies/restart.lua: a folder where a file is expected");
    put("latin/a.lua", "-- fine\n-- caf\xe9\n");
    must_complain("latin", "latin/a.lua:2: not UTF-8 (byte 0xe9)");
    put("cut/a.lua", "return '\xe2\x82");
    must_complain("cut", "cut/a.lua:1: not UTF-8");
    put("odd/a\nb.lua", "return 1");
    must_complain("odd", "odd/a\\x0ab.lua: the name of a script must be printable UTF-8");
    put("odd2/\xff/c.lua", "return 1");
    must_complain("odd2", "odd2/\\xff/c.lua: the name");
}

static void all_that_is_wrong_is_told_of(void **state)
{
    (void)state;
    ruc_fileset_t set;
    ruc_why_t why = {""};
    put("many/a.lua", "\xff");
    put("many/b.lua/x", "");
    put("many/c.lua", "fine");
    const char *roots[] = {at("many")};
    assert_int_equal(ruc_fileset_read(&set, roots, 1, &why), RUC_ESCRIPT);
    assert_int_equal(set.problem_count, 2);
    assert_non_null(strstr(ruc_buf_str(&set.problems), "many/a.lua:1:"));
    assert_non_null(strstr(ruc_buf_str(&set.problems), "many/b.lua:"));
    ruc_fileset_free(&set);
}

static void a_file_that_may_not_be_read_is_named(void **state)
{
    (void)state;
    put("secret/a.lua", "return 1");
    put("locked/in/a.lua", "return 1");
    assert_int_equal(chmod(at("secret/a.lua"), 0), 0);
    assert_int_equal(chmod(at("locked/in"), 0), 0);
    assert_int_equal(chmod(base, 0755) | chmod(at("secret"), 0755) | chmod(at("locked"), 0755), 0);
    bool root = geteuid() == 0;
    if (root && seteuid(65534) < 0) {
        skip();
    }
    ruc_fileset_t secret, locked;
    ruc_why_t why[2] = {{""}, {""}};
    const char *roots[] = {at("secret"), at("locked")};
    ruc_fileset_read(&secret, &roots[0], 1, &why[0]);
    ruc_fileset_read(&locked, &roots[1], 1, &why[1]);
    assert_true(!root || seteuid(0) == 0); /* before anything can fail */
    assert_non_null(strstr(why[0].text, "secret/a.lua: Permission denied"));
    assert_non_null(strstr(why[1].text, "locked/in: Permission denied"));
    ruc_fileset_free(&secret);
    ruc_fileset_free(&locked);
}

static void links_stay_below_their_root(void **state)
{
    (void)state;
    ruc_fileset_t set;
    ruc_why_t why = {""};
    put("outside/a.lua", "no");
    put("out/b.lua", "");
    assert_int_equal(symlink("../outside/a.lua", at("out/a.lua")), 0);
    must_complain("out", "out/a.lua: a link out of the script directory");
    put("outdir/b.lua", "");
    assert_int_equal(symlink("../outside", at("outdir/sub")), 0);
    must_complain("outdir", "outdir/sub: a link out of");
    put("nowhere/b.lua", "");
    assert_int_equal(symlink("gone.lua", at("nowhere/a.lua")), 0);
    must_complain("nowhere", "nowhere/a.lua: a link that leads nowhere");
    put("ring/b.lua", "");
    assert_int_equal(symlink("a.lua", at("ring/a.lua")), 0);
    must_complain("ring", "ring/a.lua: a link that leads nowhere");
    put("circle/a.lua", "x");
    assert_int_equal(symlink(".", at("circle/again")), 0);
    must_complain("circle", "circle/again: a link to a folder that it is in itself");
    /* as Kubernetes makes a ConfigMap, the root being a link too */
    put("map/..2026_01/restart.lua", "one");
    put("map/..2026_01/policies/restart.lua", "two");
    assert_int_equal(symlink("..2026_01", at("map/..data")), 0);
    assert_int_equal(symlink("..data/restart.lua", at("map/restart.lua")), 0);
    assert_int_equal(symlink("..data/policies", at("map/policies")), 0);
    assert_int_equal(symlink("map", at("current")), 0);
    const char *roots[] = {at("current")};
    assert_int_equal(ruc_fileset_read(&set, roots, 1, &why), 0);
    assert_int_equal(set.count, 2);
    assert_string_equal(ruc_fileset_find(&set, "restart.lua")->text, "one");
    assert_string_equal(ruc_fileset_find(&set, "policies/restart.lua")->text, "two");
    ruc_fileset_free(&set);
}

static void bounds_are_named(void **state)
{
    (void)state;
    char name[64];
    put("large/a.lua", "x");
    assert_int_equal(truncate(at("large/a.lua"), 10 << 20), 0);
    must_complain("large", "large/a.lua: 10485760 bytes, at most 1048576 are allowed");
    for (int i = 0; i <= RUC_FILES_MAX; i++) {
        snprintf(name, sizeof name, "count/%d.lua", i);
        put(name, "");
    }
    must_complain("count", "one too many: at most 2000 script files");
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "bytes/%d.lua", i);
        put(name, "x");
        assert_int_equal(truncate(at(name), RUC_FILE_MAX), 0);
    }
    must_complain("bytes", "of 8388608 bytes");
    char deep[256] = "deep";
    for (int i = 0; i < 20; i++) {
        strcat(deep, "/d");
    }
    strcat(deep, "/a.lua");
    put(deep, "");
    must_complain("deep", "nested deeper than 16");
}

static void digests_and_stamps_tell_what_changed(void **state)
{
    (void)state;
    ruc_fileset_t set;
    ruc_why_t why = {""};
    uint64_t digest[6], stamp[6];
    static const char *const texts[] = {"one", "two", "two", "one"};
    char root[512];
    snprintf(root, sizeof root, "%s/same", base);
    const char *roots[] = {root};
    for (int i = 0; i < 4; i++) {
        put("same/a.lua", texts[i]);
        struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        assert_int_equal(utimensat(AT_FDCWD, at("same/a.lua"), times, 0), 0);
        assert_int_equal(ruc_fileset_read(&set, roots, 1, &why), 0);
        digest[i] = ruc_fileset_digest(&set, true);
        stamp[i] = ruc_fileset_stamp(roots, 1, "");
        ruc_fileset_free(&set);
    }
    assert_true(digest[0] != digest[1] && digest[1] == digest[2] && digest[3] == digest[0]);
    assert_true(stamp[0] != stamp[1] && stamp[1] != stamp[2] && stamp[2] != stamp[3]);
    assert_true(ruc_fileset_stamp(roots, 1, "") == stamp[3]);
    assert_int_equal(rename(at("same/a.lua"), at("same/b.lua")), 0);
    assert_int_equal(ruc_fileset_read(&set, roots, 1, &why), 0);
    assert_true(ruc_fileset_digest(&set, true) != digest[3]);
    assert_true(ruc_fileset_stamp(roots, 1, "") != stamp[3]);
    ruc_fileset_free(&set);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    size_t len;
    ruc_why_t why = {""};
    assert_null(ruc_file_read(base, 100, &len, &why));
    assert_null(ruc_file_read("/dev/zero", 100, &len, &why));
    assert_null(ruc_file_read(at("nothing"), 100, &len, &why));
    assert_non_null(strstr(why.text, "nothing"));
}

static void the_newest_sets_are_kept_and_read_back(void **state)
{
    (void)state;
    ruc_fileset_t set, again;
    ruc_why_t why = {""};
    unsigned long long numbers[64];
    put("src/handlers/deep/er/a.lua", "text");
    put("src/b.lua", "");
    const char *roots[] = {at("src")};
    assert_int_equal(ruc_fileset_read(&set, roots, 1, &why), 0);
    for (unsigned long long n = 7; n <= 14; n++) {
        assert_int_equal(ruc_fileset_save(&set, at("kept"), n, 5, &why), 0);
    }
    assert_int_equal(ruc_fileset_save(&set, at("kept"), 14, 5, &why), 0); /* over the same one */
    put("kept/99x/a.lua", "not one of ours");
    assert_int_equal(ruc_fileset_saved(at("kept"), numbers, 64), 5);
    assert_int_equal(numbers[0], 14);
    assert_int_equal(numbers[4], 10);
    char kept[512];
    snprintf(kept, sizeof kept, "%s/kept/14", base);
    const char *saved[] = {kept};
    assert_int_equal(ruc_fileset_read(&again, saved, 1, &why), 0);
    assert_int_equal(again.count, 2);
    assert_string_equal(ruc_fileset_find(&again, "handlers/deep/er/a.lua")->text, "text");
    assert_true(ruc_fileset_intact(&again, saved[0]));
    ruc_fileset_free(&again);
    put("kept/14/b.lua", "torn"); /* as by a power failure */
    assert_int_equal(ruc_fileset_read(&again, saved, 1, &why), 0);
    assert_false(ruc_fileset_intact(&again, saved[0]));
    assert_false(ruc_fileset_intact(&again, at("kept")));
    ruc_fileset_free(&again);
    put("blocked", "a file");
    assert_true(ruc_fileset_save(&set, at("blocked/x"), 1, 5, &why) < 0);
    assert_true(why.text[0] != '\0');
    ruc_fileset_free(&set);
    assert_int_equal(ruc_fileset_saved(at("nosuch"), numbers, 64), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_scripts_are_read_in_order_and_the_first_shadows),
        cmocka_unit_test(a_directory_that_is_not_there_is_named),
        cmocka_unit_test(what_is_no_script_is_named),
        cmocka_unit_test(all_that_is_wrong_is_told_of),
        cmocka_unit_test(a_file_that_may_not_be_read_is_named),
        cmocka_unit_test(links_stay_below_their_root),
        cmocka_unit_test(bounds_are_named),
        cmocka_unit_test(digests_and_stamps_tell_what_changed),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(the_newest_sets_are_kept_and_read_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
